"""One page that shows scored photos, for a browser and without anything else."""

from siamese_nima.curation.report.write import write_report

__all__ = ["write_report"]
