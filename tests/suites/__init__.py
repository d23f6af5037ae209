"""Other people's suites and clients against hyperd: ``make conformance``.

Each folder holds one suite: what it needs, pinned by hash (requirements.txt, sdist.txt, package-lock.json), and
expected.toml: what may fail and what is not run, with a reason each. Tests that a registry package holds are fetched,
not kept here; for clients whose packages hold none, a script of ours makes their everyday calls. Any other outcome
than expected.toml says is a failure of the run.
"""
