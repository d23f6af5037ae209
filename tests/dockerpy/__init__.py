"""docker-py's own integration suite against hyperd: ``make conformance``.

The suite is fetched, not kept here: the newest source distribution of docker-py that holds its tests, pinned by hash
(suite.txt). It runs with a current docker-py in a virtual environment of its own. What may fail, and what is
not run at all, is in expected.toml with a reason each; any other outcome than that file says is a failure of the run.
"""
