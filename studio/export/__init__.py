"""What leaves the studio: sound, subtitles, labels, a timeline; and all of it as one archive with its own page."""
