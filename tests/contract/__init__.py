import pytest

# Their asserts explain themselves only if this is said before anybody imports them.
for _name in (
    *("core", "hotplug", "memory", "process", "shared_folders", "tap_networking", "templates"),
    "user_networking",
):
    pytest.register_assert_rewrite(f"tests.contract.{_name}")
