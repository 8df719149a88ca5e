"""Hyperparameter search: trials are ordinary runs, and all that is known of them is in one SQLite file.

`space` says what may be tried, `sampling` what trial k tries, `halving` which trials go on, `store` remembers,
`process` has a trial trained and scored, `search` puts them together, `report` shows what was found. Optuna (extra
`search`) is imported by `sampling`, `store` and what is built on them; nothing here but `worker` starts a backend.
"""
