"""Transitions of care: the clocks that start when a patient leaves the hospital.

Pure rules over versioned data (`data/`); no module here does I/O or reads a clock.

calendar    business days and holidays
tcm         the time limits of a discharge
discharges  which encounters open a transition, and where the patient went
outreach    the EpisodeOfCare and the outreach Task of a discharge
contact     what logging a contact or an attempt writes
rows        Tasks, Encounters, Lists -> the rows of the worklist
"""
