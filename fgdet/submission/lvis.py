"""LVIS v1: boxes or masks, evaluated on EvalAI (https://eval.ai/web/challenges/challenge-page/1114).

The evaluator is lvis-api (https://github.com/lvis-dataset/lvis-api, ``LVISResults``): it reads a JSON list of entries
with ``image_id``, ``category_id``, ``score`` and ``bbox`` or ``segmentation``, and keeps the 300 best of an image over
all categories. No file name is prescribed. As with COCO, the area of all entries comes from their boxes where the
first entry has one, so entries for masks carry none, and an empty list is an error. EvalAI lets each phase choose
which file endings it takes (https://evalai.readthedocs.io); both a plain ``.json`` and a ``.zip`` with it can be
written. Test-dev and test-challenge have 19,822 images each (https://www.lvisdataset.org/dataset).
"""

from fgdet.submission.benchmark import Benchmark

LVIS = Benchmark(
    name='LVIS v1',
    max_per_image=300,
    test_sets={
        'test_dev': ('lvis_v1_image_info_test_dev', 19822),
        'test_challenge': ('lvis_v1_image_info_test_challenge', 19822),
        'val': ('lvis_v1_val', 19809),
    },
    stem='lvis_v1_{test_set}_{algorithm}_results',
    suffixes=('.zip', '.json'),
    named=False,
    max_bytes=500_000_000,
    size_note=(
        "EvalAI's website takes 500 MB (https://github.com/Cloud-CV/EvalAI/pull/1310); send a larger file with its "
        'command line and --large'
    ),
)
