"""Everything around the train step: loop, callbacks, scores, exports, transfer."""
