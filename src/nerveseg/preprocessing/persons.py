"""One person under several names: which subjects of a data set share an identity.

A patient's number may come with its issuer in one file and without in another, stand in `subjects.csv` or in a file's
name beside DICOM files that say it, or be missing where name and date of birth are given. Subjects that share such an
identity are one. What the owner wrote wins: an identity under several subjects of `subjects.csv` joins nobody. Equal
names and dates of birth under several numbers join nobody either, since anonymised files often share them; they are told.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from nerveseg.imaging.dicom import Patient, keyed_subject


@dataclass(frozen=True)
class Persons:
    """`same` says for each subject that was joined with another under which name it counts now; `alike` are groups of
    patients of one name and date of birth under several numbers.
    """

    same: dict[str, str]
    alike: list[list[str]]

    @property
    def warnings(self) -> list[str]:
        told = []
        if self.same:
            pairs = ", ".join(f"{name} as {kept}" for name, kept in list(self.same.items())[:3])
            told.append(
                f"{len(self.same):,} subjects share the identity of another one and count as that ({pairs}); to part them, give "
                "their frames subjects of their own in subjects.csv"
            )
        if self.alike:
            told.append(
                f"one name and date of birth stands under several patients' numbers ({' and '.join(self.alike[0][:3])}"
                + (f", and {len(self.alike) - 1:,} more such groups" if self.alike[1:] else "")
                + "): where they are one person, give them one subject in subjects.csv"
            )
        return told


def same_persons(
    subjects: Sequence[str], patients: Sequence[Patient | None], listed: Collection[str], salt: bytes
) -> Persons:
    """Find the subjects that are one person.

    Args:
        subjects: of each frame.
        patients: whom its file names, None where it names nobody.
        listed: the subjects that stand in `subjects.csv`.
        salt: the secret behind the digests.
    """
    if not any(patients):
        return Persons({}, [])
    sharing: dict[str, dict[str, None]] = defaultdict(dict)  # the subjects of each identity, in their order
    numbers: dict[str, dict[str, None]] = defaultdict(dict)  # of each number, whoever gave it
    bearers: dict[str, dict[str, None]] = defaultdict(dict)  # those of each name with a date of birth
    for subject, patient in dict.fromkeys(zip(subjects, patients, strict=True)):
        for identity in _identities(subject, patient, salt):
            sharing[identity][subject] = None
        if patient and patient.number:
            numbers[patient.number][subject] = None
        if patient and patient.person:
            bearers[patient.person][subject] = None
    kept = {subject: subject for subject in dict.fromkeys(subjects)}
    for (
        identity,
        of_one,
    ) in sharing.items():  # two numbers of two issuers are one only where a third file names no issuer
        _join(kept, of_one | numbers.get(identity, {}), listed)
    numbered = {subject for subject, patient in zip(subjects, patients, strict=True) if patient and patient.number}
    alike = []
    for of_one in bearers.values():
        if len({_root(kept, subject) for subject in of_one if subject in numbered}) < 2:
            _join(kept, of_one, listed)
        elif len({_root(kept, subject) for subject in of_one if subject not in listed}) > 1:
            alike.append(list(dict.fromkeys(_root(kept, subject) for subject in of_one)))
    return Persons({name: root for name in kept if (root := _root(kept, name)) != name}, alike)


def _identities(subject: str, patient: Patient | None, salt: bytes) -> Iterator[str]:
    yield subject
    yield keyed_subject(subject, salt)  # what it would be as a patient's number
    if patient:
        yield patient.subject


def _join(kept: dict[str, str], subjects: Collection[str], listed: Collection[str]) -> None:
    roots = dict.fromkeys(_root(kept, subject) for subject in subjects)
    named = [root for root in roots if root in listed]
    if len(named) > 1:
        return
    first = named[0] if named else next(iter(roots))
    kept.update(dict.fromkeys(roots, first))


def _root(kept: dict[str, str], subject: str) -> str:
    while kept[subject] != subject:
        subject = kept[subject]
    return subject
