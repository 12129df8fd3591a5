"""Rate photos through the origin's API.

    python examples/demo_predict.py [WEIGHTS]

WEIGHTS is a Keras .h5 such as titu1994's or the origin's, a checkpoint, a model file, or the name
of an embedded model. Needs: pip install 'siamese-nima[train]'
"""

import sys
from pathlib import Path

from siamese_nima import SiameseNIMA

EXAMPLES = Path(__file__).parent

if __name__ == "__main__":
    weights = sys.argv[1] if len(sys.argv) > 1 else "quality"
    siamese = SiameseNIMA()
    predict_raw = siamese.load_data(
        EXAMPLES / "photos", EXAMPLES / "predict_data.csv", columns=["file_name"]
    )
    results = siamese.predict(predict_raw, nima_weight_path=weights)
    print(results.sort_values("mean", ascending=False).to_string(index=False))
