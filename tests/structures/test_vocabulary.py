import hashlib
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from fgdet.structures.coco_split import COCO_NAMES, OV_COCO_BASE, OV_COCO_NOVEL
from fgdet.structures.vocabulary import Vocabulary, ov_coco_vocabulary
from fgdet.utils.checks import UserError


def test_vocabulary__keeps_order_and_split():
    vocabulary = Vocabulary([' red mug', 'Katze\n', '条纹猫'], base=['Katze'], novel=['条纹猫'])
    assert vocabulary.names == ('red mug', 'Katze', '条纹猫')
    assert len(vocabulary) == 3
    assert vocabulary.base_mask.dtype == bool
    np.testing.assert_array_equal(vocabulary.base_mask, [False, True, False])
    np.testing.assert_array_equal(vocabulary.novel_mask, [False, False, True])


def test_vocabulary__without_split_has_empty_masks():
    vocabulary = Vocabulary(['a', 'b'])
    assert vocabulary.base == vocabulary.novel == ()
    np.testing.assert_array_equal(vocabulary.base_mask, [False, False])


def test_prompts__every_template_with_every_word():
    vocabulary = Vocabulary(['mug', 'cat'], templates=['a {}.', '{} of {}'], synonyms={'mug': ['cup', 'mug', 'beaker']})
    assert vocabulary.prompts(0) == ['a mug.', 'a cup.', 'a beaker.', 'mug of mug', 'cup of cup', 'beaker of beaker']
    assert vocabulary.prompts(1) == ['a cat.', 'cat of cat']


def test_prompts__negatives_are_put_into_templates_and_backgrounds_are_not():
    vocabulary = Vocabulary(
        ['red_mug'], templates=['a {}.', '{}'], synonyms={'red_mug': ['tea_cup']}, negatives=['jug'], background=['a_b']
    )
    assert [vocabulary.prompts(index) for index in range(3)] == [
        ['a red mug.', 'a tea cup.', 'red mug', 'tea cup'],
        ['a jug.', 'jug'],
        ['a_b'],
    ]
    assert (len(vocabulary), vocabulary.num_negatives) == (1, 2)


def test_threshold_of__own_or_default():
    vocabulary = Vocabulary(['cat', 'dog'], thresholds={'cat ': 1})
    assert (vocabulary.threshold_of('cat', 0.3), vocabulary.threshold_of('dog', 0.3)) == (1.0, 0.3)


def test_image_prompts__kept_at_length_one_and_unwritable():
    vector = Vocabulary(['mug'], image_prompts={'mug': [3, 4]}).image_prompts['mug']
    np.testing.assert_allclose(vector, [0.6, 0.8])
    with pytest.raises(ValueError, match='read-only'):
        vector[0] = 1


def test_prompts__braces_in_names():
    assert Vocabulary(['{x} {}'], templates=['a photo of a {}.']).prompts(0) == ['a photo of a {x} {}.']


def test_templates__sets_are_those_of_clip():
    prompts = Vocabulary(['red mug']).prompts(0)
    assert prompts == Vocabulary(['red mug'], templates='imagenet').prompts(0) and len(prompts) == 80
    digest = hashlib.sha256('\n'.join(prompts).encode()).hexdigest()  # of open_clip's OPENAI_IMAGENET_TEMPLATES
    assert digest == '6513928e5a3f2bf39090fe68b38340bf96baa8dc8e7661669d44790302d71258'
    assert Vocabulary(['cat'], templates='simple').prompts(0) == [
        'itap of a cat.',
        'a bad photo of the cat.',
        'a origami cat.',
        'a photo of the large cat.',
        'a cat in a video game.',
        'art of the cat.',
        'a photo of the small cat.',
    ]


def test_equality_and_hash__depend_on_every_part():
    plain = Vocabulary(['a', 'b'])
    others = [
        Vocabulary(['b', 'a']),
        Vocabulary(['a', 'b'], base=['a']),
        Vocabulary(['a', 'b'], novel=['a']),
        Vocabulary(['a', 'b'], templates=['{}']),
        Vocabulary(['a', 'b'], synonyms={'a': ['c']}),
        Vocabulary(['a', 'b'], negatives=['c']),
        Vocabulary(['a', 'b'], background=['c']),
        Vocabulary(['a', 'b'], thresholds={'a': 0.5}),
        Vocabulary(['a', 'b'], frequency={'a': 'r'}),
        Vocabulary(['a', 'b'], image_prompts={'a': [1, 2]}),
    ]
    assert plain == Vocabulary(['a ', 'b'], base=[], templates='imagenet', synonyms={'a': ['a']})
    assert plain.content_hash() == Vocabulary(['a', 'b']).content_hash()
    assert hash(plain) == hash(Vocabulary(['a', 'b']))
    assert all(plain != other for other in others)
    assert len({vocabulary.content_hash() for vocabulary in [plain, *others]}) == 11
    assert plain != ('a', 'b')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'names': []}, 'names: the list is empty'),
        ({'names': 'cat'}, "names: expected a list of strings, got 'cat'"),
        ({'names': ['cat', ' ']}, r'names\[1\]: .* is empty'),
        ({'names': ['cat', 3]}, r'names\[1\]: expected a string, got 3'),
        ({'names': ['cat', 'dog', 'cat ']}, r"names\[2\]: 'cat' repeats names\[0\]"),
        ({'names': ['cat'], 'base': ['dog']}, "base: 'dog' is not among the 1 names"),
        ({'names': ['cat'], 'novel': ['dog', 'cow']}, "novel: 'dog', 'cow' are not among"),
        ({'names': ['cat', 'dog'], 'base': ['dog'], 'novel': ['dog']}, "'dog' is in both"),
        ({'names': ['cat'], 'base': ['cat', 'cat']}, r"base\[1\]: 'cat' repeats"),
        ({'names': ['cat'], 'templates': ['a photo']}, "templates: 'a photo' has no {}"),
        ({'names': ['cat'], 'templates': []}, 'templates: the list is empty'),
        ({'names': ['cat'], 'templates': 'photos'}, "a list of prompts or one of imagenet, simple, got 'photos'"),
        ({'names': ['cat'], 'synonyms': {'dog': ['hound']}}, "synonyms: 'dog' is not among"),
        ({'names': ['cat'], 'synonyms': {'cat': ['']}}, "synonyms of 'cat'"),
        ({'names': ['cat'], 'synonyms': ['cat']}, 'synonyms: expected a dict'),
        ({'names': ['café', 'cafe\u0301']}, r"names\[1\]: 'café' repeats names\[0\]"),
        ({'names': ['cat'], 'negatives': ['dog', 'cat']}, "negatives: 'cat' is among the names"),
        ({'names': ['cat'], 'negatives': 'dog'}, "negatives: expected a list of strings, got 'dog'"),
        ({'names': ['cat'], 'background': ['a wall', 'a wall']}, r"background\[1\]: 'a wall' repeats"),
        ({'names': ['cat'], 'thresholds': {'dog': 0.5}}, "thresholds: 'dog' is not among"),
        ({'names': ['cat'], 'thresholds': {'cat': 1.5}}, r"thresholds of 'cat': expected a number in 0\.\.1, got 1.5"),
        ({'names': ['cat'], 'thresholds': {'cat': True}}, "thresholds of 'cat': .* got True"),
        ({'names': ['cat'], 'thresholds': {'cat': float('nan')}}, "thresholds of 'cat': .* got nan"),
        ({'names': ['cat'], 'thresholds': [0.5]}, 'thresholds: expected a dict by name'),
        ({'names': ['cat'], 'frequency': {'cat': 'x'}}, "frequency of 'cat': expected r, c or f, got 'x'"),
        ({'names': ['cat'], 'image_prompts': {'cat': [0, 0]}}, "image_prompts of 'cat': expected a vector"),
        ({'names': ['cat'], 'image_prompts': {'cat': [1, float('inf')]}}, "image_prompts of 'cat': expected a vector"),
        ({'names': ['cat'], 'image_prompts': {'cat': 'x.png'}}, "image_prompts of 'cat': expected a vector"),
        ({'names': ['a', 'b'], 'image_prompts': {'a': [1], 'b': [1, 2]}}, 'embeddings of several lengths'),
    ],
)
def test_vocabulary__names_the_offending_entry(arguments, message):
    with pytest.raises(UserError, match=message):
        Vocabulary(**arguments)


def test_from_text__splits_at_commas():
    assert Vocabulary.from_text('red mug, striped cat').names == ('red mug', 'striped cat')
    with pytest.raises(UserError, match=r'names\[1\]'):
        Vocabulary.from_text('a,,b')


def test_from_text__thresholds_after_equals_signs():
    vocabulary = Vocabulary.from_text('red mug = 0.4, striped cat, a=b=1')
    assert vocabulary == Vocabulary(['red mug', 'striped cat', 'a=b'], thresholds={'red mug': 0.4, 'a=b': 1.0})
    with pytest.raises(UserError, match=r"vocabulary 'E=mc2': expected name=threshold, such as E=0\.4; .* \.txt file"):
        Vocabulary.from_text('mug, E=mc2')
    with pytest.raises(UserError, match="thresholds of 'mug'"):
        Vocabulary.from_text('mug=4')


@pytest.mark.parametrize(
    ('content', 'names'),
    [
        (['mug', 'cat'], ('mug', 'cat')),
        (['a=b, c'], ('a=b, c',)),
        ([{'id': 2, 'name': 'mug'}, {'id': 1, 'name': 'cat'}], ('cat', 'mug')),
        ([{'name': 'mug'}, {'name': 'cat'}], ('mug', 'cat')),
        ({'categories': [{'id': 9, 'name': 'mug'}], 'images': []}, ('mug',)),
        ({'base': ['mug'], 'novel': ['cat']}, ('mug', 'cat')),
    ],
)
def test_from_file__json_forms(tmp_path, content, names):
    path = tmp_path / 'names.json'
    path.write_text(json.dumps(content))
    assert Vocabulary.from_file(path).names == names


def test_from_file__all_arguments(tmp_path):
    path = tmp_path / 'names.json'
    arguments: dict[str, Any] = {
        'names': ['a', 'b'],
        'base': ['b'],
        'novel': ['a'],
        'templates': ['{}'],
        'synonyms': {'a': ['c']},
    }
    arguments |= {'negatives': ['d'], 'background': ['e'], 'thresholds': {'b': 0.5}, 'frequency': {'a': 'r'}}
    arguments |= {'image_prompts': {'a': [1.0, 2.0]}}
    path.write_text(json.dumps(arguments))
    vocabulary = Vocabulary.from_file(path)
    assert vocabulary == Vocabulary(**arguments)
    vocabulary.save(tmp_path / 'again.json')
    assert Vocabulary.from_file(tmp_path / 'again.json') == vocabulary


def test_from_coco__reads_what_lvis_adds(tmp_path):
    categories = [
        {'id': 2, 'name': 'bat_(animal)', 'synonyms': ['bat_(animal)', 'flittermouse'], 'frequency': 'r'},
        {'id': 1, 'name': 'mug', 'synonyms': ['mug'], 'frequency': 'f'},
    ]
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps({'categories': categories}))
    vocabulary = Vocabulary.from_coco(path)
    assert vocabulary == Vocabulary.from_file(path)
    assert vocabulary.names == ('mug', 'bat_(animal)')
    assert vocabulary.frequency == {'bat_(animal)': 'r', 'mug': 'f'}
    assert vocabulary.synonyms == {'bat_(animal)': ('flittermouse',)}
    assert vocabulary.words(1) == ('bat (animal)', 'flittermouse')


def test_build__names_files_lists_and_dicts(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('mug, red\nE=mc2\n')
    assert Vocabulary.build(str(path)) == Vocabulary.build(path) == Vocabulary(['mug, red', 'E=mc2'])
    assert Vocabulary.build(['mug']) == Vocabulary.build({'names': ['mug']}) == Vocabulary(['mug'])
    assert Vocabulary.build('ov_coco') == ov_coco_vocabulary()
    assert Vocabulary.build('coco').names == COCO_NAMES
    assert Vocabulary.build('lvis_v1').frequency['Band Aid'] == 'c'
    simple = Vocabulary.build({'names': 'ov_coco', 'templates': 'simple'})
    assert simple == ov_coco_vocabulary('simple')
    assert Vocabulary.build(simple) is simple
    # what the named one leaves open stays open
    detector = Vocabulary(['cat'], templates=['{}'], negatives=['fox'])
    assert Vocabulary.build({'names': 'coco', 'thresholds': {'cat': 0.5}}).completed_by(detector).templates == ('{}',)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ('lvis', "expected a list or dict, a .txt or .json file or one of ov_coco, coco, lvis_v1, got 'lvis'"),
        ({'names': ['a'], 'classes': ['b']}, "it takes no 'classes'; it takes names, base, novel"),
        ({'base': ['a']}, "its 'names' are missing"),
        ('none.txt', 'no such file'),
    ],
)
def test_build__refuses(spec, message):
    with pytest.raises(UserError, match=message):
        Vocabulary.build(spec)


def test_completed_by__only_what_was_left_open():
    other = Vocabulary(
        ['mug', 'cat'], templates=['a {}'], synonyms={'mug': ['cup'], 'cat': ['puss']}, negatives=['jug', 'dog'],
        background=['a wall'], thresholds={'mug': 0.5},
    )  # fmt: skip
    assert Vocabulary(['dog', 'mug'], thresholds={'dog': 0.1}).completed_by(other) == Vocabulary(
        ['dog', 'mug'], None, None, ['a {}'], {'mug': ['cup']}, ['jug'], ['a wall'], {'dog': 0.1}
    )
    closed = Vocabulary(['mug'], templates=['{}'], synonyms={}, negatives=[], background=[])
    assert closed.completed_by(other) is closed


def test_from_file__text_skips_blank_lines_and_byte_order_mark(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_bytes('\ufeffmug, red\r\n\r\nKätzchen\r\n'.encode())
    assert Vocabulary.from_file(path).names == ('mug, red', 'Kätzchen')


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.json', b'{', 'not JSON'),
        ('a.json', b'{"classes": ["cat"]}', 'expected a list of names'),
        ('a.json', b'[{"id": 1}]', r"categories\[0\] has no 'name'"),
        ('a.json', b'5', 'expected a list of names'),
        ('a.txt', b'\xff\xfe', 'not UTF-8'),
        ('a.txt', b'\n', 'the list is empty'),
        ('a.yaml', b'', "ending '.yaml' is not known"),
    ],
)
def test_from_file__refuses(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        Vocabulary.from_file(tmp_path / name)


def test_from_file__missing(tmp_path):
    with pytest.raises(UserError, match='no such file'):
        Vocabulary.from_file(tmp_path / 'none.txt')


def test_from_coco__needs_categories(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match="no list under 'categories'"):
        Vocabulary.from_coco(path)


def test_ov_coco__matches_the_published_split_and_coco_order(data_dir):
    split = json.loads((data_dir / 'split.json').read_text())
    vocabulary = ov_coco_vocabulary()
    assert list(OV_COCO_BASE) == split['base'] == list(vocabulary.base)
    assert list(OV_COCO_NOVEL) == split['novel'] == list(vocabulary.novel)
    assert Vocabulary.from_coco(data_dir / 'annotations.json').names == COCO_NAMES
    assert list(vocabulary.names) == [name for name in COCO_NAMES if name in {*split['base'], *split['novel']}]
    assert (len(vocabulary), vocabulary.base_mask.sum(), vocabulary.novel_mask.sum()) == (65, 48, 17)


def test_module__imports_no_torch():
    code = "import sys, fgdet.structures.vocabulary; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


@pytest.fixture
def data_dir(request):
    return request.config.rootpath / 'tests' / 'data' / 'ov_coco'


def test_renamed__all_that_goes_with_a_class_follows_its_new_word():
    vocabulary = Vocabulary(
        ['sofa', 'cat'],
        base=['sofa'],
        novel=['cat'],
        templates='simple',
        synonyms={'sofa': ['couch']},
        negatives=['couch', 'wall'],
        thresholds={'sofa': 0.5},
        frequency={'sofa': 'r'},
    )
    found = vocabulary.renamed({'sofa': 'couch'})
    expected = Vocabulary(
        ['couch', 'cat'],
        base=['couch'],
        novel=['cat'],
        templates='simple',
        negatives=['wall'],
        frequency={'couch': 'r'},
    )
    assert found == expected
    trained = Vocabulary(['cat'], templates=['x {}'], synonyms={'cat': ['kitty']})
    assert Vocabulary(['cat', 'dog']).renamed({}).completed_by(trained).templates == ('x {}',)
    assert Vocabulary(['cat', 'dog']).renamed({}).completed_by(trained).synonyms == {}
    with pytest.raises(UserError, match='repeats'):
        vocabulary.renamed({'sofa': 'cat'})
