"""Close codes, against comparing each with each."""

import numpy as np
import pytest

from fgdet.data_engine.hamming import close_pairs, distances


def clustered(number: int, seed: int) -> np.ndarray:
    """Codes of which many are one another with some bits turned."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**64, number, dtype=np.uint64)
    for i in range(1, number, 2):
        for bit in rng.integers(0, 64, int(rng.integers(0, 12))):
            codes[i] = (codes[int(rng.integers(0, i))] if bit % 7 == 0 else codes[i]) ^ (np.uint64(1) << np.uint64(bit))
    return codes


def naive(codes: np.ndarray, distance: int, other: np.ndarray) -> list[tuple[int, int]]:
    return [
        (i, j) for i in range(len(codes)) for j in range(i) if bin(int(other[i]) ^ int(codes[j])).count('1') <= distance
    ]


@pytest.mark.parametrize('distance', [0, 1, 3, 4, 7, 10])
@pytest.mark.parametrize('number', [2, 300])
def test_close_pairs__are_those_of_the_loop(distance: int, number: int) -> None:
    codes = clustered(number, seed=distance)
    assert list(map(tuple, close_pairs(codes, distance).tolist())) == naive(codes, distance, codes)
    mirrored = codes ^ np.uint64(0x5555_0000_FFFF_0101)
    mirrored[number // 2 :] = codes[: number - number // 2]
    assert list(map(tuple, close_pairs(codes, distance, mirrored).tolist())) == naive(codes, distance, mirrored)


def test_close_pairs__in_windows_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clustered(200, seed=5)
    expected = close_pairs(codes, 5)
    assert len(expected) > 20
    monkeypatch.setattr('fgdet.data_engine.hamming._WINDOW', 7)
    monkeypatch.setattr('fgdet.data_engine.hamming._AT_ONCE', 3)
    np.testing.assert_array_equal(close_pairs(codes, 5), expected)


def test_close_pairs__of_nothing_and_of_equal_codes() -> None:
    assert close_pairs(np.zeros(0, np.uint64), 4).shape == (0, 2)
    assert close_pairs(np.full(3, 2**64 - 1, np.uint64), 0).tolist() == [[1, 0], [2, 0], [2, 1]]
    with pytest.raises(ValueError, match='0 to 63 bits, got 64'):
        close_pairs(np.zeros(2, np.uint64), 64)


def test_distances__without_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = clustered(50, seed=1)
    expected = [bin(int(a) ^ int(b)).count('1') for a, b in zip(codes, codes[::-1], strict=True)]
    assert distances(codes, codes[::-1]).tolist() == expected
    monkeypatch.delattr(np, 'bitwise_count', raising=False)
    assert distances(codes, codes[::-1]).tolist() == expected
