"""How an array is edited: all or nothing, whenever the process ends.

An edit makes the new form of every object that changes, and keeps it with the old form as an *entry*, before
it replaces the first object. Then it copies the new forms to the array. ``edit`` has the three ways through:
to do it, to finish it, to take it back; what the new forms are, its callers know. ``journal`` keeps the
entries in the store of the array itself, so that another process can finish the edit. ``applying`` copies
entries to the array, and ``followers`` are told before and after, such as an index of labels.
"""
