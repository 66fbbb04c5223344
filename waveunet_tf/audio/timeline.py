"""Lays decoded frames under the timestamps that their container gives them."""

from __future__ import annotations

# Timestamps are rounded, and may jitter. Where more than the second would be silent,
# the clock has jumped: two recordings were joined, or the timestamps are broken.
_SHORTEST_GAP_SECONDS, _MOST_SILENT_SECONDS = 0.1, 300.0
_SHORTEST_LEAD_SECONDS = 0.005
# How far decoded audio may be from its timestamps: this share of it, and a packet.
_TOLERANCE, _TOLERANCE_SECONDS = 0.01, 0.1
# Where so many pieces have a gap behind them, the timestamps are not the samples'.
_MANY_GAPS, _MANY_GAPS_SHARE = 3, 0.2


class Timeline:
    """Compares decoded frames with their timestamps, and finds what is silent between.

    Attributes:
        origin_seconds: The time of the song's first frame, lead-in included; None
            before there is one.
        lead_seconds: The silence before the first decoded frame.
        gaps: Where silence stands in for what is missing: (start, length) in seconds.
        given_seconds: The seconds decoded so far, with the silence in gaps.
    """

    def __init__(self, rate_hz: int, start_seconds: float | None):
        """Begins before the first frame.

        Args:
            rate_hz: The frames' sample rate in Hz.
            start_seconds: When the file's other streams begin; None: there are none.
        """
        self._rate_hz, self._start_seconds = rate_hz, start_seconds
        self.origin_seconds: float | None = None
        self.lead_seconds = 0.0
        self.gaps: list[tuple[float, float]] = []
        self.given_seconds = self._elapsed_seconds = 0.0
        self._last_seconds: float | None = None
        self._last_duration = self._longest = 0.0
        self._silent_seconds, self._pieces = 0.0, 0

    def place(
        self, seconds: float | None, duration: float, after_damage: bool = False
    ) -> int:
        """Takes the next decoded audio.

        Args:
            seconds: Its timestamp; None where it has none.
            duration: Its length in seconds, by its frames.
            after_damage: Whether something before it could not be decoded.

        Returns:
            The frames of silence that belong before it.
        """
        silence = 0
        if self.origin_seconds is None:
            silence = self._lead_in(seconds)
        elif seconds is None or self._last_seconds is None:
            self._elapsed_seconds += self._last_duration
        else:
            silence = self._gap(seconds, after_damage)
        if seconds is None and self._last_seconds is not None:
            seconds = self._last_seconds + self._last_duration
        self._last_seconds, self._last_duration = seconds, duration
        if duration > self._longest:
            self._longest = duration
        self.given_seconds += duration
        self._pieces += 1
        return silence

    def _lead_in(self, seconds: float | None) -> int:
        self.origin_seconds = seconds or 0.0
        if seconds is None or self._start_seconds is None:
            return 0
        lead = seconds - self._start_seconds
        if not _SHORTEST_LEAD_SECONDS < lead <= _MOST_SILENT_SECONDS:
            return 0
        self.origin_seconds, self.lead_seconds = self._start_seconds, lead
        self._silent_seconds = lead
        return round(lead * self._rate_hz)

    def _gap(self, seconds: float, after_damage: bool) -> int:
        step = seconds - self._last_seconds
        gap = step - self._last_duration
        if step <= 0 or self._silent_seconds + gap > _MOST_SILENT_SECONDS:
            self._elapsed_seconds += self._last_duration
            return 0
        self._elapsed_seconds += step
        if gap < _SHORTEST_GAP_SECONDS and not (after_damage and gap > 0):
            return 0
        self.gaps.append((self.given_seconds + self.lead_seconds, gap))
        self._silent_seconds += gap
        self.given_seconds += gap
        return round(gap * self._rate_hz)

    @property
    def next_seconds(self) -> float:
        """The timestamp of what follows without a gap."""
        return (self._last_seconds or 0.0) + self._last_duration

    def disagreement(self) -> tuple[float, float] | None:
        """Compares all that was decoded with the timestamps.

        Returns:
            The seconds of both, silence in a few gaps included, where they differ by
            more than one percent and a packet; else None.
        """
        by_samples = self.given_seconds
        if len(self.gaps) > max(_MANY_GAPS, _MANY_GAPS_SHARE * self._pieces):
            by_samples -= self._silent_seconds - self.lead_seconds
        by_timestamps = self._elapsed_seconds + self._last_duration
        allowed = _TOLERANCE * by_timestamps + self._longest + _TOLERANCE_SECONDS
        if abs(by_samples - by_timestamps) <= allowed:
            return None
        return by_samples, by_timestamps
