from fgdet.engine.hooks.class_texts import ClassTextsHook
from fgdet.engine.hooks.compile_modules import CompileModulesHook
from fgdet.engine.hooks.complete_checkpoint import CompleteCheckpointHook
from fgdet.engine.hooks.data_position import DataPositionHook
from fgdet.engine.hooks.dataset_vocabulary_hook import DatasetVocabularyHook
from fgdet.engine.hooks.ema import DetectorEMAHook
from fgdet.engine.hooks.iteration_seed import IterationSeedHook
from fgdet.engine.hooks.open_vocabulary_report import OpenVocabularyReportHook
from fgdet.engine.hooks.skipped_records import SkippedRecordsHook
from fgdet.engine.hooks.throughput import ThroughputHook

__all__ = [
    'ClassTextsHook',
    'CompileModulesHook',
    'CompleteCheckpointHook',
    'DataPositionHook',
    'DatasetVocabularyHook',
    'DetectorEMAHook',
    'IterationSeedHook',
    'OpenVocabularyReportHook',
    'SkippedRecordsHook',
    'ThroughputHook',
]
