"""What sizing is asked and what it answers."""

from __future__ import annotations

from pydantic import Field

from services.contracts.plan import Prediction, Runtime
from services.scheduler.frozen import Facts
from services.scheduler.modes import Mode
from services.scheduler.parallelism import Interconnect


class Machine(Facts):
    """What a model may take of one machine, in GiB. Without GPUs it is `memory_gib` of the host.

    `gpu_memory_gib` is what the driver of one GPU reports, which is less than the nominal size.
    """

    gpus: int = Field(default=0, ge=0)
    gpu_memory_gib: float = Field(default=0, ge=0)
    cuda_compute_capability: float | None = None
    interconnect: Interconnect | None = None
    memory_gib: float = Field(default=0, ge=0)


class Wish(Facts):
    """What the user asks of the engine; what is None is ours to choose.

    `context` is the number of tokens that one request must be able to use, `concurrency` how many such requests must
    fit at once. The rest are settings of the engine that change what it takes.
    """

    context: int | None = Field(default=None, gt=0)
    concurrency: int | None = Field(default=None, gt=0)
    utilization: float | None = Field(default=None, gt=0, le=1)
    batched: int | None = Field(default=None, gt=0)
    sequences: int | None = Field(default=None, gt=0)
    cache_dtype: str | None = None
    quantization: str | None = None
    mode: Mode | None = None
    dtype: str | None = None
    runtime: Runtime = Runtime.VLLM
    eager: bool = False
    adapters: int = Field(default=0, ge=0)
    adapter_rank: int = Field(default=16, gt=0)


class Sizing(Facts):
    """How a model runs on `nodes` equal machines. Memory is in GiB for the fullest GPU, or for the CPU's process.

    `gpus_per_node` are all GPUs that are used on a node: those of one replica times `data_parallel`. `kv_tokens` are
    those of one replica, in requests of `max_model_len` tokens, and `concurrency` how many of these all replicas hold
    at once. `memory_gib` is all that is taken, of `total_gib` that is there. `reasons` say why the engine's flags and
    environment variables are as they are, by their names.
    """

    dtype: str
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: bool = False
    nodes: int = 1
    gpus_per_node: int = 0
    weights_gib: float
    activation_gib: float
    non_torch_gib: float = 0
    graphs_gib: float = 0
    kv_cache_gib: float
    kv_bytes_per_token: int
    kv_tokens: int
    max_model_len: int
    concurrency: float
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    utilization: float | None = None
    memory_gib: float
    total_gib: float
    warnings: tuple[str, ...] = ()
    reasons: dict[str, str] = Field(default_factory=dict)

    def prediction(self) -> Prediction:
        """What the engine should report, to compare with what it does report."""
        return Prediction(
            weights_gib=self.weights_gib,
            activation_gib=self.activation_gib,
            kv_cache_gib=self.kv_cache_gib,
            kv_tokens=self.kv_tokens,
            total_gib=self.total_gib,
        )


class DoesNotFit(Facts):
    """The model cannot run there; `reason` is a sentence with the numbers and the nearest that can be had."""

    reason: str
