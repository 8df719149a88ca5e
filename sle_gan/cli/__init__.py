"""One module per command: parser, examples, and errors that name the flag."""
