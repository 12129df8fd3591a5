"""One page that shows scored photos, for a browser and without anything else."""

from siamese_nima.curation.report.write import ThumbnailReader, write_report

__all__ = ["ThumbnailReader", "write_report"]
