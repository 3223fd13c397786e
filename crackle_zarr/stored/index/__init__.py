"""The label index of a stored array: which labels there are, how large, where, and in which chunks.

``home`` has the named blobs in which an index lies, ``parquet`` the files, ``manifest`` the one object that
says which files count, ``rows`` the tables, ``stamps`` what a chunk was when it was indexed, ``build`` two
passes over an array, ``lookup`` the answers, ``update`` what brings an index up to date,
``planning`` what an edit takes out of it.
"""
