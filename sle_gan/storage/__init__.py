"""Files on disk: paths that users give, files that are written whole, files that may be a stranger's.

Nothing here knows a network, a run or a command; `json_objects`, `hdf5`, `npz` and `torch_files` read nothing before
it was compared with the bytes that the file has.
"""
