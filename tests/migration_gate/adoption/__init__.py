"""The gate taken up by a project of another shape: branched, in schemas of its own, with a long history."""
