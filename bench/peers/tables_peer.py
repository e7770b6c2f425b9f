"""Fits a synthesizer of SDV to a table and writes rows that it draws.

    python bench/peers/tables_peer.py SYNTHESIZER TRAIN.csv OUT.csv ROWS EPOCHS    (pip install sdv)

SYNTHESIZER is GaussianCopula, CTGAN or TVAE; EPOCHS counts for the last two. Columns are those that SDV finds, but columns of few whole numbers stay
numbers where eidos has them so: `anomaly` and texts are categories. The last line of the output is JSON: the seconds of the fit, and SDV's version.
"""

import json
import random
import sys
import time
import warnings

import numpy as np
import pandas as pd
import sdv
import torch
from sdv.metadata import Metadata
from sdv.single_table import CTGANSynthesizer, GaussianCopulaSynthesizer, TVAESynthesizer

warnings.filterwarnings("ignore")
name, train, out, rows, epochs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
random.seed(0)
np.random.seed(0)
torch.manual_seed(0)

table = pd.read_csv(train)
columns = {
    column: {"sdtype": "categorical"}
    if column in ("anomaly", "color") or not pd.api.types.is_numeric_dtype(table[column])
    else {"sdtype": "numerical"}
    for column in table.columns
}
metadata = Metadata.load_from_dict({"tables": {"table": {"columns": columns}}, "relationships": []})
makers = {
    "GaussianCopula": lambda: GaussianCopulaSynthesizer(metadata),
    "CTGAN": lambda: CTGANSynthesizer(metadata, epochs=epochs),
    "TVAE": lambda: TVAESynthesizer(metadata, epochs=epochs),
}
synthesizer = makers[name]()
begun = time.perf_counter()
# From version 2 on, tables go in and come out by name.
by_name = int(sdv.__version__.split(".")[0]) >= 2
synthesizer.fit({"table": table} if by_name else table)
seconds = time.perf_counter() - begun
drawn = synthesizer.sample(num_rows=rows)
(drawn["table"] if isinstance(drawn, dict) else drawn).to_csv(out, index=False)
print(json.dumps({"seconds": seconds, "version": sdv.__version__}))
