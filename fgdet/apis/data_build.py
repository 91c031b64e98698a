"""A folder of images into training data: list, run the stages, write."""

import fcntl
import inspect
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from fgdet.data_engine.captioners import AnnotationCaptioner, EndpointCaptioner, ExistingCaptions, LocalCaptioner
from fgdet.data_engine.filters import CaptionFilter, ImageFilter
from fgdet.data_engine.grounding import AnnotationGrounding, DetectorGrounding
from fgdet.data_engine.hard_negatives import EndpointNegatives, LexiconNegatives
from fgdet.data_engine.image_listing import Listing, ReadImages, list_images
from fgdet.data_engine.near_duplicates import NearDuplicateCaptions, NearDuplicates
from fgdet.data_engine.phrases import PhraseExtraction
from fgdet.data_engine.pipeline import Lost, OnProgress, Pipeline
from fgdet.data_engine.similarity_filter import SimilarityFilter
from fgdet.data_engine.stage import Stage
from fgdet.data_engine.writer import WritePlan, Writer
from fgdet.utils.checks import UserError, existing_file
from fgdet.utils.configs import read_config
from fgdet.utils.files import sha256_of
from fgdet.version import __version__

#: Stages by their names in a config.
STAGES: dict[str, type] = {
    each.__name__: each
    for each in (
        AnnotationCaptioner,
        EndpointCaptioner,
        ExistingCaptions,
        LocalCaptioner,
        PhraseExtraction,
        AnnotationGrounding,
        DetectorGrounding,
        LexiconNegatives,
        EndpointNegatives,
        ImageFilter,
        CaptionFilter,
        NearDuplicates,
        NearDuplicateCaptions,
        SimilarityFilter,
    )
}
#: What runs without a config: offline, on given boxes.
DEFAULT_STAGES: tuple[dict[str, Any], ...] = (
    dict(type='ImageFilter'),
    dict(type='NearDuplicates'),
    dict(type='AnnotationCaptioner'),
    dict(type='CaptionFilter', most_repeated=1.0),  # captions of templates say the same words again
    dict(type='PhraseExtraction'),
    dict(type='AnnotationGrounding'),
    dict(type='LexiconNegatives'),
)
#: The part of the progress that comes after the stages.
WRITE = 'write'


class BuildPlan(NamedTuple):
    """What is built, and how.

    Args:
        annotations: boxes in COCO's form.
        config: a Python file with ``stages``, a list of dicts of ``type`` and arguments, in their order; and, if
            wanted, ``write`` (a dict of :class:`~fgdet.data_engine.writer.WritePlan`) and ``licence`` (a dict of texts
            for the manifest). None takes :data:`DEFAULT_STAGES`.
        stages: names of those to run; None runs all.
        limit: only the first so many images.
        retry_failed: try again what failed before.
        workers: processes; 0 takes none.
        seed: of the stages that choose at random and do not give their own.
    """

    annotations: str | None = None
    config: str | None = None
    stages: Sequence[str] | None = None
    limit: int | None = None
    retry_failed: bool = False
    workers: int = 0
    seed: int = 0


class Build:
    """A build of a data set, whose parts are made and checked but not run.

    Args:
        images: folder of images.
        out: folder for the data set; what the stages have done is kept in ``stages`` within.
        plan: None takes the defaults.
        on_progress: called with a part's name (a stage's, or ``write``), the share of it that is done and a line.
        say: called with lines that a user should read.

    Attributes:
        parts: names of the parts of the progress.

    Raises:
        UserError: a path, a config, a stage or its arguments are wrong.
    """

    def __init__(
        self,
        images: str,
        out: str | Path,
        plan: BuildPlan | None = None,
        on_progress: OnProgress = lambda name, done, line: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.images, self.out, self.plan = images, Path(out), plan or BuildPlan()
        self.on_progress, self.say = on_progress, say
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f'out {out}: it is no folder')
        config = read_build_config(self.plan.config)
        self.write_plan = _write_plan(config.get('write', {}), self.plan.config)
        self.licence = config.get('licence', {})
        stages = make_stages(config['stages'], images, self.plan.seed)
        self.stages: list[Stage] = [ReadImages(images), *_chosen(stages, self.plan.stages)]
        self.pipeline = Pipeline(
            self.stages, self.out / 'stages', self.plan.workers, self.plan.retry_failed, on_progress, say
        )
        self.parts = [*(stage.name for stage in self.stages), WRITE]

    def todo(self) -> dict[str, int]:
        """How many images each stage has to do, at most; nothing is written."""
        return self.pipeline.todo(self._listing().records)

    def run(self) -> dict[str, Any]:
        """Build, or go on with what an earlier run left.

        Returns:
            what ``manifest.json`` holds, and ``stages_run``: counts and seconds by stage.

        Raises:
            UserError: as :func:`~fgdet.data_engine.image_listing.list_images`, the stages and the writer do, or
                another build is at work in ``out``.
            OSError: a file cannot be written; a second start goes on.
        """
        listing = self._listing()
        facts = self._facts(listing)
        with _locked(self.out / 'stages' / '.lock'):
            outcome = self.pipeline.run(listing.records)
            total = len(outcome.records)
            self.on_progress(WRITE, 0.0, f'{total} records')
            lost = [Lost(x.key, x.key, ReadImages.name, x.reason) for x in listing.failures] + outcome.lost
            writer = Writer(
                self.out,
                self.images,
                self.write_plan,
                lambda done, line: self.on_progress(WRITE, min(0.999, done / max(1, total)), line),
            )
            manifest = writer.write(outcome.records, lost, facts)
            self.on_progress(WRITE, 1.0, '')
        return manifest | dict(stages_run=[vars(count) for count in outcome.counts])

    def _listing(self) -> Listing:
        listing = list_images(self.images, self.plan.annotations, self.plan.limit)
        if names := listing.without_image:
            self.say(f'annotations: {len(names)} images are not in {self.images}, the first {names[0]}')
        return listing

    def _facts(self, listing: Listing) -> dict[str, Any]:
        given = self.plan.annotations
        return dict(
            fgdet=__version__,
            seed=self.plan.seed,
            limit=self.plan.limit,
            images=len(listing.records) + len(listing.failures),
            annotations=dict(name=Path(given).name, sha256=sha256_of(given)) if given else None,
            stages=[dict(name=s.name, type=type(s).__name__, settings=s.settings()) for s in self.stages],
            write=self.write_plan._asdict(),
            licence=dict(self.licence) | (dict(of_images=listing.licences) if listing.licences else {}),
        )


def read_build_config(path: str | None) -> dict[str, Any]:
    """A config's ``stages``, ``write`` and ``licence``; the defaults for None.

    Raises:
        UserError: the file is missing or wrong.
    """
    if path is None:
        return dict(stages=[dict(each) for each in DEFAULT_STAGES])
    config = read_config(existing_file(path, 'config')).to_dict()
    stages = config.get('stages')
    if not isinstance(stages, list) or not all(isinstance(each, dict) and 'type' in each for each in stages):
        raise UserError(f'config {path}: expected stages = [dict(type=...), ...], got {stages!r}')
    for name in ('write', 'licence'):
        if not isinstance(config.get(name, {}), dict):
            raise UserError(f'config {path}: {name} must be a dict, got {config[name]!r}')
    try:
        json.dumps(config.get('licence'))
    except TypeError as error:
        raise UserError(f'config {path}: licence must hold plain values ({error})') from error
    return config


def make_stages(configs: Sequence[dict[str, Any]], images: str, seed: int) -> list[Stage]:
    """Stages from dicts of ``type`` and arguments; ``images`` and ``seed`` are given to those that take them.

    Args:
        configs: ``type`` is a name of :data:`STAGES` or ``module:Class``.
        images: folder of the images.
        seed: of those that choose at random.

    Raises:
        UserError: no such type, or arguments are wrong.
    """
    stages = []
    for config in configs:
        name = config['type']
        kind = stage_class(name)
        taken = inspect.signature(kind).parameters
        given = {key: value for key, value in dict(images=images, seed=seed).items() if key in taken}
        try:
            stages.append(kind(**(given | {key: value for key, value in config.items() if key != 'type'})))
        except UserError:
            raise
        except (TypeError, ValueError) as error:
            raise UserError(f'stage {name}: {" ".join(str(error).split())}') from error
    return stages


def stage_class(name: Any) -> Any:
    """The class of a stage by a name of :data:`STAGES` or by ``module:Class``.

    Raises:
        UserError: there is none.
    """
    if kind := STAGES.get(str(name).removeprefix('fgdet.')):
        return kind
    module, colon, attribute = str(name).partition(':')
    if not colon:
        raise UserError(f'stage {name}: no such type; choose from {", ".join(STAGES)}, or give "module:Class"')
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f'stage {name}: it cannot be imported ({error})') from error


def _chosen(stages: list[Stage], names: Sequence[str] | None) -> list[Stage]:
    if names is None:
        return stages
    there = Counter(stage.name for stage in stages)
    if unknown := [name for name in names if name not in there]:
        raise UserError(f'stages {", ".join(unknown)}: no such stage; choose from {", ".join(there)}')
    return [stage for stage in stages if stage.name in names]


def _write_plan(content: dict[str, Any], config: str | None) -> WritePlan:
    if unknown := set(content) - set(WritePlan._fields):
        known = ', '.join(WritePlan._fields)
        raise UserError(f'config {config}: write has {", ".join(sorted(unknown))}; choose from {known}')
    plan = WritePlan(**content)
    if not plan.prefix or Path(plan.prefix).name != plan.prefix or plan.prefix.startswith('.'):
        raise UserError(f'config {config}: write.prefix {plan.prefix!r}: expected the beginning of a file name')
    return plan


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f'out {path.parents[1]}: another build is at work there') from error
        yield
