"""From results files to tables, figures, an animation and one page."""
