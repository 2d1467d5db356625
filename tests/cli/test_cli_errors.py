"""Errors: one line, about options."""

import warnings

import pytest

from petseg_cli.errors import in_options, is_expected, one_line
from petseg_cli.options import parse_names, parse_numbers, parse_size


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("`class_names` must hold 3 names.", "--classes must hold 3 names."),
        ("`root` must be a folder.", "--data must be a folder."),
        ("Pass as `data_dir` the folder.", "Pass as --data-dir the folder."),
        ("`weights='pets'` fit unet.", "--weights pets fit unet."),
        ("exported with `argmax`", "exported with --argmax"),
        ("use `binary=True`", "use --binary"),
        ("`model` must return logits", "`model` must return logits"),
        (
            "`weights` must be 'imagenet', 'pets', None, or the path of a file.",
            "--weights must be imagenet, pets, none, or the path of a file.",
        ),
        (
            "`weights='pets'` must fit the encoder or most of unet. Use the default arguments, or "
            "`weights='imagenet'`.",
            "--weights pets must fit the encoder or most of unet. Use --weights imagenet.",
        ),
        (
            "`petseg.data.verify_folder` lists every bad file.",
            "`petseg data --verify` lists every bad file.",
        ),
        (
            "`petseg.data.verify_folder` checks every mask. To silence this: "
            '`warnings.simplefilter("ignore", petseg.data.LabelWarning)`.',
            "`petseg data --verify` checks every mask.",
        ),
        ("`classes` must be None for the archives", "--classes must be left out for the archives"),
        ("run `pip install x`", "run `pip install x`"),
        ("pass `ignore_class=11`.", "pass --ignore-class 11."),
        (
            "pass `labels={0: 'road', 7: 'it\\'s', 11: None}`.",
            "pass --labels '0=road,7=it'\"'\"'s,11='.",
        ),
        ("pass `labels={0: 'road', 7: None}`.", "pass --labels 0=road,7=."),
    ],
)
def test_arguments_become_options(message, expected):
    assert in_options(message) == expected


def test_every_name_is_an_option_of_a_command():
    import typer

    from petseg_cli import app, errors

    group = typer.main.get_command(app)
    commands = list(group.commands.values())
    commands += [each for command in commands for each in getattr(command, "commands", {}).values()]
    parameters = [parameter for command in commands for parameter in command.params]
    known = {flag for parameter in parameters for flag in (*parameter.opts, parameter.metavar)}
    assert set(errors.OPTIONS.values()) <= known


def test_an_error_is_one_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(KeyError("no such key")) == "no such key"
    assert one_line(MemoryError()) == "Not enough memory."
    assert one_line(OSError()) == "OSError"


def test_an_error_from_a_pipeline_is_that_of_the_library():
    wrapped = "{{function_node x}} ValueError: a.png is bad.\nTraceback (most recent call last):\n"
    assert one_line(ValueError(wrapped)) == "a.png is bad."


def test_faults_of_the_program_are_not_hidden():
    assert not is_expected(TypeError())
    assert not is_expected(AssertionError())
    assert is_expected(ValueError())
    assert is_expected(MemoryError())


def test_sizes_are_a_side_or_height_x_width():
    assert parse_size("128") == (128, 128)
    assert parse_size("128x160") == (128, 160)


@pytest.mark.parametrize("text", ["big", "", "0", "-3", "12x0", "3x4x5", "1.5", "64x", "x64"])
def test_other_sizes_are_refused(text):
    with pytest.raises(Exception, match="is not a size such as 128 or 128x160"):
        parse_size(text)


def test_lists_are_divided_at_commas():
    assert parse_names("cat, small dog") == ("cat", "small dog")
    assert parse_numbers("1,2.5") == (1, 2.5)
    with pytest.raises(Exception, match="is not a list of numbers"):
        parse_numbers("1,b")


def test_a_warning_is_one_line(cli, monkeypatch, own_folder):
    def warns(*_args: object, **_options: object) -> None:
        warnings.warn("`class_names` are\n  odd.", UserWarning, stacklevel=1)
        raise ValueError("`tile` is bad.")

    monkeypatch.setattr("petseg.data.source.DataSource.problems", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = cli("data", "--data", own_folder, "--classes", "a,b", "--verify")
    assert code == 1
    assert err == "petseg: warning: --classes are odd.\npetseg: error: --tile is bad.\n"


@pytest.mark.parametrize("args", [("predict", ""), ("predict", "photo.png", "--out", "")])
def test_an_empty_argument_is_not_the_current_folder(cli, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    code, _, err = cli(*args)
    assert code == 1
    assert err.startswith("petseg: error: An argument is empty.")
    assert list(tmp_path.iterdir()) == []
