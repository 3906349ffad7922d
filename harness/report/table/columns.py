"""The columns of the report, in their order. A column is added here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from harness.report.language.catalogue import Message, Word
from harness.report.language.markup import shorten
from harness.report.language.phrases import speed_words
from harness.report.language.vocabulary import Vocabulary
from harness.report.language.voice import Voice
from harness.report.table import fields
from harness.report.table.column import TableColumn, Words
from harness.report.table.model import Row, Table
from harness.results import Cell, Results
from harness.stats import Interval

MEGABYTES: Mapping[str, Any] = {"unit": {"en": "MB", "ru": "МБ"}, "factor": 1e-6}
MILLISECONDS: Words = {"en": "ms", "ru": "мс"}


def _name(axis: str, english: str, russian: str) -> TableColumn:
    """A column that names a row; the page has these elsewhere."""

    def value(cell: Cell) -> str:
        return str(getattr(cell, axis))

    words = {"en": english, "ru": russian}
    return TableColumn(axis, words, value, data=(axis,), page=False, to_the_right=False)


def _only_data(key: str, more: Mapping[str, Callable[[Row], Any]]) -> TableColumn:
    """Fields that CSV and JSON alone have."""
    return TableColumn(key, {}, more=more, page=False, tables=False)


def _latency(*devices: bool) -> tuple[Callable[[Cell], float | None], Callable[[Cell], Interval | None]]:
    """The latency and its interval of cells that ran on the CPU, or of those that did not."""

    def value(cell: Cell) -> float | None:
        return cell.latency_ms.p50 if cell.latency_ms and (cell.device == "cpu") in devices else None

    def interval(cell: Cell) -> Interval | None:
        return cell.latency_ms.interval if cell.latency_ms else None

    return value, interval


_LATENCY_DATA = ("latency_p50_ms", "latency_low_ms", "latency_high_ms")


def zstd_bytes(cell: Cell) -> int | None:
    """Size of a cell's weights as a compressed download."""
    return cell.artifact.zstd_bytes if cell.artifact else None


def _machine(row: Row, say: Voice) -> str:
    """As markup it stays what it is: the page cuts nothing."""
    name = say.word(Word("machine", row.cell.machine)) if row.cell.machine else ""
    return name if isinstance(name, Markup) else shorten(name)


def _speed(row: Row, say: Voice) -> str:
    words = speed_words(row.speed, row.verdict)
    return say.message(words) if words else ""


def _no_vram(cell: Cell) -> str | Message | None:
    return cell.vram_reason or (Message.of("missing.cpu-has-no-vram") if cell.device == "cpu" else None)


COLUMNS: tuple[TableColumn, ...] = (
    _only_data("id", {"id": lambda row: row.cell.id}),
    _name("model", "Model", "Модель"),
    _only_data("task", {"task": lambda row: row.cell.task}),
    _name("method", "Method", "Метод"),
    _name("runtime", "Runtime", "Среда"),
    _name("device", "Device", "Устройство"),
    TableColumn(
        "machine",
        {"en": "Machine", "ru": "Машина"},
        lambda cell: cell.machine,
        text=_machine,
        about={
            "en": "The machine that measured the row. Speed and memory are compared only with rows of the same machine.",
            "ru": "Машина, на которой измерена строка. Скорость и память сравниваются только со строками той же машины.",
        },
        section="verdicts",
        data=("machine",),
        to_the_right=False,
    ),
    TableColumn(
        "workload",
        {"en": "Workload", "ru": "Нагрузка"},
        lambda cell: ";".join(f"{key}={value}" for key, value in cell.workload.items()),
        text=lambda row, say: shorten(say.workload(row.cell.workload)),
        data=("workload",),
        page=False,
        to_the_right=False,
    ),
    _only_data("outcome", fields.OUTCOME),
    TableColumn(
        "weights",
        {"en": "Weights", "ru": "Веса"},
        lambda cell: cell.weights_bytes,
        **MEGABYTES,
        against="size",
        about={
            "en": "The bytes of the files that hold the weights, in MB of 10⁶ bytes. It is what a deployment stores, "
            "without tokenizers or code.",
            "ru": "Размер файлов с весами, в МБ по 10⁶ байт. Это то, что хранит развёртывание, без токенизаторов и "
            "кода.",
        },
        section="size",
        data=("weights_bytes",),
        course={"en": "Weights size", "ru": "Размер весов"},
        course_unit=True,
    ),
    TableColumn(
        "zstd",
        {"en": "zstd", "ru": "zstd"},
        zstd_bytes,
        **MEGABYTES,
        about={
            "en": "The weight files after `zstd -3`: what a download costs. Pruned and clustered weights become small "
            "only here: zeros and repeats still take their place in the files.",
            "ru": "Файлы весов после `zstd -3`: цена загрузки. Прореженные и кластеризованные веса уменьшаются только "
            "здесь: нули и повторы всё равно занимают место в файлах.",
        },
        section="size",
        data=("weights_zstd_bytes",),
        usual=False,
    ),
    TableColumn(
        "cpu_ms",
        {"en": "CPU", "ru": "CPU"},
        *_latency(True),
        unit=MILLISECONDS,
        device="cpu",
        against="speed",
        about={
            "en": "The time of one call on the CPU: the geometric mean of the medians of the rounds, ± half of its 95 "
            "% interval. A round is a fresh container. For text generation a call is a whole request.",
            "ru": "Время одного вызова на ЦП: среднее геометрическое медиан раундов, ± половина 95%-го интервала. "
            "Раунд — это новый контейнер, а для генерации текста вызов — это целый запрос.",
        },
        section="rounds",
        data=_LATENCY_DATA,
        course={"en": "Inference time CPU ms", "ru": "Время инференса CPU, мс"},
        struck=True,
    ),
    TableColumn(
        "gpu_ms",
        {"en": "GPU", "ru": "GPU"},
        *_latency(False),
        unit=MILLISECONDS,
        device="gpu",
        against="speed",
        about={
            "en": "The time of one call on the GPU, until its outputs can be read in host memory. It is measured like "
            "that on the CPU.",
            "ru": "Время одного вызова на ГП до момента, когда результат можно прочесть в памяти хоста. Измеряется так "
            "же, как на ЦП.",
        },
        section="rounds",
        data=_LATENCY_DATA,
        more=fields.SPEED,
        course={"en": "Inference time GPU ms", "ru": "Время инференса GPU, мс"},
        struck=True,
    ),
    TableColumn(
        "speed",
        {"en": "Speed against the baseline", "ru": "Скорость относительно базовой"},
        text=_speed,
        page=False,
        usual=False,
    ),
    TableColumn(
        "ram",
        {"en": "RAM", "ru": "ОЗУ"},
        lambda cell: cell.ram_bytes,
        **MEGABYTES,
        against="memory",
        about={
            "en": "The most memory that the process held at once, by the kernel's own mark (VmHWM). The runtime at "
            "rest is part of it; its share is in the row's details.",
            "ru": "Наибольшая память процесса по отметке самого ядра (VmHWM). Среда без модели входит в неё; её доля "
            "указана в подробностях строки.",
        },
        section="memory",
        data=("ram_bytes",),
        more=fields.MEMORY,
        course={"en": "RAM MB"},
    ),
    TableColumn(
        "vram",
        {"en": "VRAM", "ru": "VRAM"},
        lambda cell: cell.vram_bytes,
        **MEGABYTES,
        reason=_no_vram,
        against="memory",
        about={
            "en": "The device memory in use above idle at its peak, as NVML tells it. It is void where another process "
            "used the GPU.",
            "ru": "Пиковая память устройства сверх состояния покоя, по данным NVML. Если ГП занимал другой процесс, "
            "значения нет.",
        },
        section="memory",
        data=("vram_bytes",),
        course={"en": "VRAM MB"},
    ),
    TableColumn(
        "energy",
        {"en": "Energy", "ru": "Энергия"},
        lambda cell: cell.energy_j,
        unit={"en": "J", "ru": "Дж"},
        reason=lambda cell: cell.energy_reason,
        about={
            "en": "The energy of one call: of the GPU by NVML, else of the processor by RAPL. Where the machine does "
            "not tell, it stays empty.",
            "ru": "Энергия одного вызова: ГП по NVML, иначе процессора по RAPL. Где машина её не сообщает, поле пусто.",
        },
        section="energy",
        data=("energy_j",),
        usual=False,
    ),
    TableColumn(
        "quality",
        {"en": "Quality", "ru": "Качество"},
        lambda cell: cell.quality.value if cell.quality else None,
        lambda cell: cell.quality.interval if cell.quality else None,
        before=lambda cell: Word("metric", cell.quality.metric) if cell.quality else None,
        reason=lambda cell: cell.quality_reason,
        against="quality",
        about={
            "en": "The model's quality on held-out examples, measured inside this very runtime, ± half of its 95 % "
            "interval. The small figure is the change against the baseline.",
            "ru": "Качество модели на отложенных примерах, измеренное в этой самой среде, ± половина 95%-го интервала. "
            "Мелкая цифра — изменение относительно базовой строки.",
        },
        section="quality",
        data=("quality", "quality_low", "quality_high"),
        more=fields.QUALITY,
    ),
    TableColumn(
        "status",
        {"en": "Status", "ru": "Статус"},
        text=lambda row, say: say(f"status.{row.cell.status}"),
        page=False,
        to_the_right=False,
    ),
    _only_data("origin", fields.ORIGIN),
)
#: What the rows of a group have in common: the headings of groups say it.
GROUP = ("model", "device", "machine", "workload")
#: What README.md says in its first two columns.
NAMES = ("model", "method", "runtime", "device", "workload", "status")


def page_columns() -> tuple[TableColumn, ...]:
    """Those that the page's table can show."""
    return tuple(column for column in COLUMNS if column.page)


def table_columns() -> dict[str, TableColumn]:
    """Those that Markdown and LaTeX can show, by their keys."""
    return {column.key: column for column in COLUMNS if column.tables}


def usual_columns(table: Table) -> list[str]:
    """The keys of those that Markdown and LaTeX show unless told otherwise."""
    return [key for key, column in table_columns().items() if column.usual and (key != "machine" or table.machines[1:])]


def course_columns(table: Table) -> list[TableColumn]:
    """Those of README.md's table behind model and method."""
    return [table_columns()[key] for key in usual_columns(table) if key not in NAMES]


def shown_columns(table: Table) -> list[str]:
    """The keys of those that the page shows at first: in which a measured row has a number, or texts tell rows apart."""
    measured = [row.cell for row in table.rows if row.measured]
    found = {column.key: {column.value(cell) for cell in measured} - {None} for column in page_columns()}
    return [key for key, values in found.items() if len(values) > any(isinstance(value, str) for value in values)]


def vocabulary(results: Results) -> Vocabulary:
    """The words of the results and of the columns."""
    words = {key: words for column in COLUMNS for key, words in column.vocabulary().items()}
    return Vocabulary.of(results).also(words)


def data(row: Row, columns: Sequence[TableColumn] | None = None) -> dict[str, Any]:
    """A row's values on one level by the names of CSV and JSON; what was not measured is None.

    Columns that share a name (latency on the CPU and on others) have one field: a row has at most one of the two values.
    """
    found: dict[str, Any] = {}
    for column in COLUMNS if columns is None else columns:
        value = column.value(row.cell)
        ends = column.interval(row.cell) if value is not None else None
        for name, part in zip(column.data, (value, *(ends or (None, None))), strict=False):
            found[name] = part if found.get(name) is None else found[name]
        found |= {name: of(row) for name, of in column.more.items()}
    return found
