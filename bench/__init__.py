"""Measurements of the whole product beside Docker's: ``python -m bench``. See README.md in this folder."""
