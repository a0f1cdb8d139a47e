from typing import Any

import pytest

from infra.settings import SettingsError


def test_the_image_is_built_from_what_dockerignore_lets_through(default: Any) -> None:
    (image,) = default.assets["dockerImages"].values()
    assert image["source"]["platform"] == "linux/amd64"
    names = {path.name for path in (default.folder / image["source"]["directory"]).iterdir()}
    assert names - {".dockerignore"} == {
        "Dockerfile",
        "job",
    }
    (destination,) = image["destinations"].values()
    for definition in default.job_definitions().values():
        assert destination["imageTag"] in str(definition["ContainerProperties"]["Image"])


def test_a_change_of_the_code_is_another_image(synthesize_changed: Any, default: Any, source: Any) -> None:
    file = source / "job" / "__init__.py"
    file.write_text("changed = True\n")
    try:
        changed = synthesize_changed(lambda stack: None)
    finally:
        file.write_text("")
    assert set(changed.assets["dockerImages"]) != set(default.assets["dockerImages"])


def test_build_arguments_reach_the_build(synthesize: Any) -> None:
    (image,) = synthesize(build_args={"BASE_IMAGE": "local:1"}).assets["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == {"BASE_IMAGE": "local:1"}


def test_a_named_image_is_used_as_it_is(synthesize: Any) -> None:
    stack = synthesize(image="registry.example.org/loosweep:1")
    assert not stack.assets.get("dockerImages")
    for definition in stack.job_definitions().values():
        assert definition["ContainerProperties"]["Image"] == "registry.example.org/loosweep:1"


@pytest.mark.parametrize("missing", ["Dockerfile", ".dockerignore"])
def test_nothing_to_build_from_is_an_error_with_its_remedy(
    synthesize_changed: Any, source: Any, missing: str
) -> None:
    text = (source / missing).read_text()
    (source / missing).unlink()
    try:
        with pytest.raises(SettingsError, match=f"has no {missing}; add it, or name an image in the setting"):
            synthesize_changed(lambda stack: None)
    finally:
        (source / missing).write_text(text)
