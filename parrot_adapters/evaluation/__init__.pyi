from .answers.evaluation_config import EvaluationConfig as EvaluationConfig
from .benchmark.benchmarks import (
    BENCHMARKS as BENCHMARKS,
)
from .benchmark.benchmarks import (
    Benchmark as Benchmark,
)
from .benchmark.benchmarks import (
    benchmark_named as benchmark_named,
)
from .benchmark.data_error import EvaluationDataError as EvaluationDataError
from .benchmark.predictions import (
    Predictions as Predictions,
)
from .benchmark.predictions import (
    read_predictions as read_predictions,
)
from .benchmark.prompts import (
    PROMPT_STYLES as PROMPT_STYLES,
)
from .benchmark.prompts import (
    build_prompt as build_prompt,
)
from .benchmark.prompts import (
    question_options as question_options,
)
from .benchmark.protocols import (
    PROTOCOLS as PROTOCOLS,
)
from .benchmark.protocols import (
    Protocol as Protocol,
)
from .benchmark.protocols import (
    protocol_named as protocol_named,
)
from .benchmark.rows import Row as Row
from .benchmark.subsets import (
    Subset as Subset,
)
from .benchmark.subsets import (
    find_subsets as find_subsets,
)
from .benchmark.subsets import (
    load_subset as load_subset,
)
from .matching.extract_choice import (
    REFUSED as REFUSED,
)
from .matching.extract_choice import (
    ROBUST as ROBUST,
)
from .matching.extract_choice import (
    extract_choice as extract_choice,
)
from .matching.known_languages import (
    Language as Language,
)
from .matching.known_languages import (
    add_language as add_language,
)
from .matching.known_languages import (
    canonical_language as canonical_language,
)
from .matching.known_languages import (
    known_languages as known_languages,
)
from .matching.known_languages import (
    load_languages as load_languages,
)
from .scores.letter_bias import (
    PositionBias as PositionBias,
)
from .scores.letter_bias import (
    position_bias as position_bias,
)
from .scores.paired_runs import (
    Erosion as Erosion,
)
from .scores.paired_runs import (
    Flips as Flips,
)
from .scores.paired_runs import (
    McNemar as McNemar,
)
from .scores.paired_runs import (
    erosion as erosion,
)
from .scores.paired_runs import (
    flips as flips,
)
from .scores.paired_runs import (
    mcnemar as mcnemar,
)
from .scores.paired_runs import (
    paired_permutation as paired_permutation,
)
from .scores.read_result import (
    ReadResult as ReadResult,
)
from .scores.read_result import (
    read_run as read_run,
)
from .scores.result import (
    Result as Result,
)
from .scores.result import (
    SubsetScore as SubsetScore,
)
from .scores.result import (
    means as means,
)
from .scores.score_predictions import (
    score_predictions as score_predictions,
)
from .scores.score_subset import (
    score_subset as score_subset,
)
