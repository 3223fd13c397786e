"""The connected components of whole stored arrays, and what is made of them.

Each chunk has its components found from its boundaries, by itself, and its faces are kept as small images of
component numbers. The faces of neighbours tell which components are one; sets of components get their names;
and each chunk of the result is the stream of its components with another label table. Boundaries are coded
again only where the array's edge cuts a chunk, or where a chunk of the source is no chunk of the result.
"""
