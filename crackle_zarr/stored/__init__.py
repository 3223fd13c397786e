"""Questions to whole stored arrays, and edits of them, chunk by chunk.

A chunk is a Crackle stream somewhere in a store: an object of its own, a range within a shard, perhaps
behind a compressor, its axes perhaps transposed. ``layout`` knows what the chunks of an array are,
``fetch`` brings the parts of them that a question needs, ``engine`` carries questions over all chunks on an
executor and merges what comes back. The other rooms are the questions and the edits themselves.
"""
