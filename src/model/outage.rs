//! From samples to outages: the arithmetic of bounds (DESIGN section 5), pure and used by `measure` and by the calibration alike.
