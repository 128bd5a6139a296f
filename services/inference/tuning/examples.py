"""Reads the files of a data set into examples, and divides them. Uses the datasets library."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from services.inference.tuning.columns import choose_columns, to_example
from services.inference.tuning.failure import TuningError
from services.inference.tuning.files import BUILDERS, data_files
from services.inference.tuning.spec import Spec

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger("kaitobus.inference")


def read_examples(spec: Spec, *, chat: bool) -> tuple[Dataset, Dataset | None]:
    """Examples to train on, and those that are held out. Raises TuningError."""
    config = spec.config.dataset
    rows = _rows(spec)
    columns = choose_columns(rows.column_names, config)
    told = rows.filter(lambda row: to_example(row, columns, chat=chat) is not None)
    if not len(told):
        raise TuningError(f"The data has no example: none of its {len(rows)} rows has a response.")
    log.info("%d of %d rows are examples: %s", len(told), len(rows), columns.words)
    examples = told.map(lambda row: to_example(row, columns, chat=chat), remove_columns=told.column_names)
    if config.shuffle_dataset:
        examples = examples.shuffle(seed=config.shuffle_seed)
    kept = round(len(examples) * config.train_test_split)
    if config.train_test_split == 1:
        return examples, None
    if kept in (0, len(examples)):
        raise TuningError(
            f"train_test_split {config.train_test_split:g} of {len(examples)} examples leaves none on one side."
        )
    return examples.select(range(kept)), examples.select(range(kept, len(examples)))


def _rows(spec: Spec) -> Dataset:
    """All rows of all files. Raises TuningError in the words of whoever reads them."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    files = data_files(spec.data, spec.config.dataset.dataset_file_extension)
    builder = BUILDERS[files[0].suffix.lower()]
    try:
        rows = load_dataset(builder, data_files=[str(path) for path in files], split="train")
    except (DatasetGenerationError, ValueError, TypeError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError):
            raise cause from error
        text = " ".join(str(cause).split())[:300]
        raise TuningError(f"The data cannot be read as {builder}: {text}") from error
    if not len(rows):
        raise TuningError("The data has no rows.")
    return rows
