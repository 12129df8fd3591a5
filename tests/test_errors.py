"""Messages of errors tell what to do."""

import importlib.metadata
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from siamese_nima.errors import MissingExtraError


@pytest.fixture
def installed(monkeypatch):
    """Sets what the environment says of how the package was installed."""

    def install(direct_url):
        class Installed:
            def read_text(self, name):
                assert name == "direct_url.json"
                return direct_url

        monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed())

    return install


def test_a_part_that_windows_on_arm_lacks_is_not_offered(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Windows")
    monkeypatch.setattr("platform.machine", lambda: "ARM64")
    said = str(MissingExtraError.of("nima train", "train"))
    assert said.startswith("nima train needs PyTorch, which Windows on ARM has no build of: use ")
    assert "pip install" in str(MissingExtraError.of("nima pick", "serve"))


def hint():
    return str(MissingExtraError.of("nima pick", "serve"))


def test_what_came_from_a_registry_is_installed_by_its_name(installed):
    installed(None)
    assert hint().endswith("needs an optional part: pip install 'siamese-nima[serve]'")


def test_what_came_from_a_clone_is_installed_from_there(installed, monkeypatch):
    installed('{"url": "file:///home/ana/my%20clone", "dir_info": {"editable": true}}')
    monkeypatch.setattr(sys, "prefix", "/home/ana/env")
    monkeypatch.setenv("VIRTUAL_ENV", "/home/ana/env")
    assert hint().endswith("needs an optional part: pip install '/home/ana/my clone[serve]'")
    monkeypatch.delenv("VIRTUAL_ENV")
    assert f"{sys.executable} -m pip install '/home/ana/my clone[serve]'" in hint()


def test_an_environment_without_pip_is_named_to_uv(installed, monkeypatch):
    installed('{"url": "file:///x"}')
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert f"uv pip install --python {sys.executable} '/x[serve]'" in hint()


def test_a_package_that_is_not_installed_is_named_as_it_is_published(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert hint().endswith("pip install 'siamese-nima[serve]'")
