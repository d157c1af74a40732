"""Rehearsing pending revisions on a temporary copy of the source's schema, under synthetic load.

    run           from beginning to end: prepare, load, migrate, report
    preparation   source (its facts), scratch (the temporary database), tools, restore, statistics, synthetic (rows)
    traffic       readers and writers; sampler: locks and waits as an onlooker sees them
    migration     the migrating process, seen from outside; migrator and recorder: the same from within
    assembly      from events, samples and clocks to statements; catalog and locks are its words
    report        the result and its JSON; budget, text, picture: what is made of it

Nothing here is imported by a running service.
"""
