"""COCO 2017 detection: boxes or masks, evaluated on CodaLab.

The file is ``detections_[testset]_[alg]_results.json``, alone in ``detections_[testset]_[alg]_results.zip``
(https://cocodataset.org/#upload). An entry has ``image_id``, ``category_id``, ``score`` and either ``bbox`` or, for
masks, ``segmentation`` as run lengths of the official encoder; coordinates may be rounded to a tenth of a pixel
(https://cocodataset.org/#format-results). At most 100 detections of an image count
(https://cocodataset.org/#detection-eval). Test-dev has 20,288 images; a challenge entry holds all 40,670 of test2017
(https://cocodataset.org/#guidelines), where val2017 may be sent to try the upload.

An entry for masks carries no ``bbox``: the server's loader takes the area of *all* entries from their boxes where the
first one has a box, and the scores by size would be those of boxes
(https://github.com/cocodataset/cocoapi, ``COCO.loadRes``). The same function fails on an empty list.
"""

from fgdet.submission.benchmark import Benchmark

COCO = Benchmark(
    name='COCO 2017',
    max_per_image=100,
    test_sets={
        'test-dev2017': ('image_info_test-dev2017', 20288),
        'test-challenge2017': ('image_info_test2017', 40670),
        'val2017': ('instances_val2017', 5000),
    },
    stem='detections_{test_set}_{algorithm}_results',
    suffixes=('.zip',),
    named=True,
    max_bytes=300_000_000,
    size_note=(
        'CodaLab takes 300 MB unless the host has asked for more '
        '(https://github.com/codalab/codalab-competitions/issues/3394); leave out the lowest scores'
    ),
)
