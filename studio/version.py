"""Which studio this is: written into everything it exports."""

VERSION = "0.1.0"
STUDIO = f"Higgs Studio {VERSION}"
