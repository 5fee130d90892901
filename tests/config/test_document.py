import pytest

from rebnn_search.config import UserError, apply_override, load, parse, with_value


def test_lines_are_those_of_the_file() -> None:
    document = parse("a: 1\n\nb:\n  c: 2\n  d: [x,\n    y]\n", "f.yaml")
    assert document.data == {"a": 1, "b": {"c": 2, "d": ["x", "y"]}}
    assert document.where(("b", "c")) == "f.yaml:4"
    assert document.where(("b", "d", 1)) == "f.yaml:6"
    assert document.where(("b", "nowhere")) == "f.yaml:3"


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1.5E+2", 150.0), ("-2e4", -2e4), (".5e1", 5.0), ("12", 12), ("0.1", 0.1), ("e5", "e5"), ("1e", "1e")],
)
def test_numbers_in_exponent_notation_are_numbers(text: str, value: object) -> None:
    parsed = parse(f"a: {text}", "f.yaml").data["a"]
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "f.yaml:2: key 'a' stands twice"),
        ("- 1", "f.yaml:1: the file must be a mapping"),
        ("a: [1,", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']", "f.yaml:1: the tag"),
        ("a: !!python/name:os.system ''", "not valid YAML"),
        ("a: &x [*x]", "nested more than"),
        ("[1]: 2", "f.yaml:1"),
    ],
)
def test_mistakes_name_the_line(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text, "f.yaml")
    assert message in str(error.value)


def test_missing_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        load(tmp_path / "nowhere.yaml")


def test_merge_keys_and_anchors() -> None:
    assert parse("base: &b {x: 1}\nc:\n  <<: *b\n  y: 2", "f.yaml").data["c"] == {"x": 1, "y": 2}


def test_override_is_yaml_and_names_itself() -> None:
    document = parse("a: {b: 1, c: 2}", "f.yaml")
    apply_override(document, "a.b=1e-4")
    assert document.data == {"a": {"b": 1e-4, "c": 2}}
    assert document.where(("a", "b")) == "--set a.b=1e-4"
    assert document.where(("a", "c")) == "f.yaml:1"


@pytest.mark.parametrize("override", ["a", "=1", "a.b.c=1", "a=["])
def test_bad_overrides(override: str) -> None:
    with pytest.raises(UserError, match="--set"):
        apply_override(parse("a: {b: 1}", "f.yaml"), override)


def test_choosing_another_part_drops_the_options_of_the_old() -> None:
    data = {"gamma": {"strategy": "constant", "value": 1.0}, "x": 1}
    assert with_value(data, ("gamma", "strategy"), "flip_ratio") == {"gamma": {"strategy": "flip_ratio"}, "x": 1}
    assert with_value(data, ("gamma", "strategy"), "constant") == data
    assert with_value({"gamma": "constant"}, ("gamma", "strategy"), "flip_ratio") == {"gamma": {"strategy": "flip_ratio"}}
    assert data == {"gamma": {"strategy": "constant", "value": 1.0}, "x": 1}
