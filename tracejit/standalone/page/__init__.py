"""`tracejit inspect --html`: an artifact as one page that needs nothing else."""

from tracejit.standalone.page.whole import page_of as page_of
