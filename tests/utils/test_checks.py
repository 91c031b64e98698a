"""The errors that users read."""

from pathlib import Path

import pytest

from fgdet.utils.checks import NonFiniteLossError, UserError, existing_file


def test_existing_file__gives_the_path(tmp_path: Path) -> None:
    (tmp_path / 'a.json').touch()
    assert existing_file(str(tmp_path / 'a.json'), 'annotations') == tmp_path / 'a.json'


@pytest.mark.parametrize(
    ('name', 'found'), [('none', 'no such file'), ('.', 'it is a folder'), ('/dev/null', 'a pipe or a device')]
)
def test_existing_file__names_what_is_wrong(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(UserError, match=f'^annotations .*: {found}; give the path of an existing file$'):
        existing_file(tmp_path / name, 'annotations')


def test_non_finite_loss__keeps_terms_and_keys() -> None:
    error = NonFiniteLossError({'loss_a': float('nan'), 'loss_b': 0.5}, ['x', 'y'])
    assert str(error) == 'the loss is not finite (loss_a=nan, loss_b=0.5) on a batch of 2 samples'
    assert error.keys == ['x', 'y'] and error.losses['loss_b'] == 0.5
