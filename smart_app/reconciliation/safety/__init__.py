"""What is checked about the lists (domain 3.5): rules as data in `data/`, one module a check, no I/O.

check          everything, over the lists before, after and resulting -> SafetyReport
medicines      lines as rules see them       context      age, kidney function, conditions
rule_engine    rules about medicines and patients: interactions, older adults, kidneys, a site's own
interactions   shipped tables and own rules  duplicates   ingredients and classes
allergens      AllergyIntolerance -> Allergy allergies    exact, related, families
high_alerts    doses    fills    burden      coverage     what was not checked
decided        what decisions leave on the resulting list
findings       what one check finds on one list, and how it becomes an Alert
"""
