"""Scripts that come as files: text, subtitles (SRT, WebVTT), tables (CSV) and Word documents."""
