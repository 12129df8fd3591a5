"""Train the Siamese stage through the origin's API on the example photos, with made-up labels.

    python examples/demo_train.py [WEIGHTS]

WEIGHTS is a Keras .h5 such as titu1994's or the origin's, or a checkpoint; its stages up to
`mixed_7a` (InceptionResNetV2) or `blocks.4` (MobileNet) are frozen. Without it a small network with
random weights shows the way in seconds; it learns nothing worth keeping from 25 photos.
Needs: pip install 'siamese-nima[train]'
"""

import sys
import tempfile
from pathlib import Path

from siamese_nima import ModelCard, SiameseNIMA, ViewPolicy
from siamese_nima.networks.checkpoint import save_checkpoint
from siamese_nima.networks.nima import build_nima

EXAMPLES = Path(__file__).parent
SMALL = {"width": 0.25}


def write_small_network(path: Path) -> Path:
    """Write a MobileNet of a quarter of the usual width, with random weights."""
    card = ModelCard(
        name="demo",
        backbone="mobilenetv1_100",
        backbone_options=SMALL,
        view=ViewPolicy.parse("warp:96/nearest"),
    )
    save_checkpoint(path, build_nima("mobilenetv1_100", options=SMALL), card)
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            weights = Path(sys.argv[1])
        else:
            weights = write_small_network(Path(folder, "demo.safetensors"))
        siamese = SiameseNIMA(output_dir=folder)
        train_raw = siamese.load_data(EXAMPLES / "photos", EXAMPLES / "train_data.csv")
        backbone = siamese.build(weights).backbone
        siamese.train(
            train_raw,
            val_raw=train_raw,  # a real run has photos of its own to validate on
            epochs=3,
            batch_size=16,
            nima_weight_path=weights,
            layer_to_freeze="mixed_7a" if hasattr(backbone, "mixed_7a") else "blocks.4",
            objective="preference",  # knows which photo is better; the origin's is "contrastive"
            callback=lambda epoch, figures: print(
                f"epoch {epoch + 1}: loss {figures['loss']:.3f}, "
                f"pairs in the right order {figures['val_pair_accuracy']:.0%}"
            ),
            verbose=0,
        )
        print("wrote", *sorted(path.name for path in Path(folder, "checkpoints").iterdir()))
        results = siamese.predict(train_raw)
    print(results[["source", "mean", "std"]].sort_values("mean", ascending=False).to_string())
