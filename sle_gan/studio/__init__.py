"""`sle-gan studio`: a page in the browser for trained generators. It is thin: what it does, the commands do too.

| module | what |
|---|---|
| `shelf` | the models that are shown, loaded when they are asked for and again when their files change |
| `uploads` | pictures from the browser, read within limits |
| `outbox` | the files that the browser may fetch |
| `actions` | what a visitor can do with a model: functions without a page |
| `runs` | training runs, as they stand |
| `page`, `tabs`, `steering` | the page itself |
| `gate` | what the browser may ask the server for |
| `serve` | the server |

The page is made with gradio (the extra `studio`), which is imported where it is used.
"""
