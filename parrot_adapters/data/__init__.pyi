from .collator import Collator as Collator
from .dialogue import (
    Dialogue as Dialogue,
)
from .dialogue import (
    Picture as Picture,
)
from .dialogue import (
    Turn as Turn,
)
from .dialogue import (
    Video as Video,
)
from .format_base import (
    DataFormat as DataFormat,
)
from .format_base import (
    Files as Files,
)
from .format_base import (
    role_of as role_of,
)
from .format_base import (
    split_at as split_at,
)
from .mixture import (
    Mixture as Mixture,
)
from .mixture import (
    open_data as open_data,
)
from .packing import PackedCollator as PackedCollator
from .problems import (
    PROBLEMS as PROBLEMS,
)
from .problems import (
    BadSample as BadSample,
)
from .rejects import Rejects as Rejects
from .streaming import StreamingMixture as StreamingMixture
