"""One person under several names: which subjects of a data set share an identity.

A patient's number may come with its issuer in one file and without in another, or as another number of the patient. It may
stand in `subjects.csv` or in a file's name beside DICOM files that hold it. Where it is missing, name and date of birth may
be given. Subjects that share such an identity are one. The owner has the last word: an identity under several subjects of
`subjects.csv` joins none of them. A name and date of birth under several numbers join nobody: anonymised files share them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from nerveseg.imaging.dicom import Patient, keyed_subject
from nerveseg.text.wording import counted, some

Groups = dict[str, dict[str, None]]  # the subjects of each identity, in their order


@dataclass(frozen=True)
class Persons:
    same: dict[str, str]  # the name under which each subject counts that was joined with another
    alike: list[list[str]]  # groups of patients with one name and date of birth under several numbers
    parted: list[list[str]]  # groups of subjects of `subjects.csv` with one identity
    studied: list[list[str]]  # groups of patients in one study

    @property
    def warnings(self) -> list[str]:
        warnings = []
        if self.same:
            pairs = ", ".join(f"{name} as {kept}" for name, kept in list(self.same.items())[:3])
            warnings.append(
                f"{counted(len(self.same), 'subject')} with the identity of another one, counted as that ({pairs}); to part "
                "them, give their frames subjects of their own in subjects.csv"
            )
        if self.alike:
            warnings.append(
                f"one name and date of birth stands under several patients' numbers ({_shown(self.alike)}): if they are "
                "one person, give them one subject in subjects.csv"
            )
        if self.parted:
            warnings.append(
                f"one patient stands under several subjects of subjects.csv ({_shown(self.parted)}), which count as "
                "different people: if they are one person, give them one subject there"
            )
        if self.studied:
            warnings.append(
                f"one study (StudyInstanceUID) has several patients ({_shown(self.studied)}), but a study is of one person: if they "
                "are, as where files were numbered instead of patients, give them one subject in subjects.csv"
            )
        return warnings


def same_persons(
    subjects: Sequence[str], patients: Sequence[Patient | None], listed: Collection[str], salt: bytes
) -> Persons:
    """Find subjects that are one person, by the patients of their frames. `listed` subjects are those in `subjects.csv`."""
    if not any(patients):
        return Persons({}, [], [], [])
    cases = dict.fromkeys(zip(subjects, patients, strict=True))
    sharing = _groups(
        (identity, who)
        for who, patient in cases  # a subject may be a patient's number
        for identity in (who, keyed_subject(who, salt), *((patient.subject, *patient.others) if patient else ()))
    )
    numbers = _groups((patient.number, who) for who, patient in cases if patient)  # of each number, whoever issued it
    bearers = _groups((patient.person, who) for who, patient in cases if patient)  # of each name with a date of birth
    kept = {subject: subject for subject in dict.fromkeys(subjects)}
    parted: dict[tuple[str, ...], None] = {}
    for identity, of_one in sharing.items():
        # Two numbers of two issuers are one only if a third file names no issuer.
        if several := _join(kept, of_one | numbers.get(identity, {}), listed):
            parted[tuple(several)] = None
    numbered = {subject for subject, patient in cases if patient and patient.number}
    alike = []
    for of_one in bearers.values():
        if len({_root(kept, subject) for subject in of_one if subject in numbered}) < 2:
            _join(kept, of_one, listed)
        elif len({_root(kept, subject) for subject in of_one if subject not in listed}) > 1:
            alike.append(list(dict.fromkeys(_root(kept, subject) for subject in of_one)))
    studies = _groups((patient.study, who) for who, patient in cases if patient and who not in listed)
    studied = [list(roots) for of in studies.values() if len(roots := dict.fromkeys(_root(kept, w) for w in of)) > 1]
    same = {name: root for name in kept if (root := _root(kept, name)) != name}
    return Persons(same, alike, [list(group) for group in parted], studied)


def _groups(found: Iterable[tuple[str, str]]) -> Groups:
    """Collect the subjects of each identity that is known."""
    groups: Groups = defaultdict(dict)
    for identity, subject in found:
        if identity:
            groups[identity][subject] = None
    return groups


def _shown(groups: list[list[str]]) -> str:
    more = f", and {len(groups) - 1:,} more such groups" if groups[1:] else ""
    return (some(groups[0], 3) if groups[0][3:] else " and ".join(groups[0])) + more


def _join(kept: dict[str, str], subjects: Collection[str], listed: Collection[str]) -> list[str]:
    """Join the subjects, or return those of `subjects.csv` if there are several."""
    roots = dict.fromkeys(_root(kept, subject) for subject in subjects)
    named = [root for root in roots if root in listed]
    if len(named) > 1:
        return named
    kept.update(dict.fromkeys(roots, named[0] if named else next(iter(roots))))
    return []


def _root(kept: dict[str, str], subject: str) -> str:
    while kept[subject] != subject:
        subject = kept[subject]
    return subject
