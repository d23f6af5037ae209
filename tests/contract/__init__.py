import pytest

# Their asserts explain themselves only if this is said before anybody imports them.
pytest.register_assert_rewrite("tests.contract.driver")
