"""The spool: what was written is there again, and what was cut is not."""

from pathlib import Path

from fgdet.data_engine.download_spool import DownloadSpool, Outcome

OUTCOMES = {
    5: Outcome(dict(format='JPEG', width=3, height=4), b'bytes\n\0' * 20_000),
    0: Outcome(dict(reason='cut', detail='\u00fc'), b''),
    2: Outcome(dict(format='PNG'), b'x'),
}


def contents(path: Path) -> dict[int, Outcome]:
    spool = DownloadSpool(path)
    found = {index: spool.get(index) for index in range(9) if index in spool}
    assert len(spool) == len(found)
    spool.close()
    return found


def test_spool__cut_anywhere_keeps_the_whole_entries(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / 'spool'
    spool = DownloadSpool(path)
    sizes = [0]
    for index, outcome in OUTCOMES.items():
        spool.add(index, outcome)
        sizes.append(path.stat().st_size)
    assert spool.get(5) == OUTCOMES[5]
    spool.close()
    assert contents(path) == OUTCOMES
    data = path.read_bytes()
    for size in [0, 1, 40, 70_000, sizes[1] - 1, sizes[1], sizes[1] + 5, sizes[2], sizes[3] - 1]:
        path.write_bytes(data[:size])
        whole = sum(size >= end for end in sizes[1:])
        assert contents(path) == dict(list(OUTCOMES.items())[:whole])
        assert path.stat().st_size == sizes[whole]
    damaged = bytearray(data)
    damaged[sizes[1] - 1] ^= 1
    path.write_bytes(damaged)
    assert contents(path) == {}


def test_spool__goes_on_after_a_cut_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / 'spool'
    path.write_bytes(b'{"index": 1}\n[]\nrubbish')
    spool = DownloadSpool(path)
    spool.add(1, OUTCOMES[2])
    spool.close()
    assert contents(path) == {1: OUTCOMES[2]}
    DownloadSpool(path).remove()
    assert not path.exists()
