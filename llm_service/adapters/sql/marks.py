"""Stars and tags in SQL. A star is a column of its generation, a tag a row of its own."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from llm_service.core.history.model import MarkChanges

from .database import Database
from .tables import generation_tags, generations

# The used tags are found among so many of the newest. Each page of the history asks for them.
MAX_COUNTED = 10_000

Tags = Mapping[int, tuple[str, ...]]
"""By the position of their generation."""

_tag, _position = generation_tags.c.tag, generation_tags.c.position


def tags_at(connection: Connection, positions: Sequence[int]) -> Tags:
    """The tags of the rows at these positions, in alphabetical order."""
    if not positions:
        return {}
    found: dict[int, tuple[str, ...]] = {}
    for position, tag in connection.execute(select(_position, _tag).where(_position.in_(positions))):
        found[position] = (*found.get(position, ()), tag)
    # Not by the database: engines order letters differently.
    return {position: tuple(sorted(tags, key=_alphabetical)) for position, tags in found.items()}


def _alphabetical(tag: str) -> tuple[str, str]:
    return tag.casefold(), tag


class SqlMarks:
    """Satisfies `MarkStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tags_of(self, owner: str, request_id: str) -> tuple[str, ...]:
        mine = (generations.c.owner == owner, generations.c.request_id == request_id)
        query = select(_tag).join(generations, generations.c.position == _position).where(*mine)
        tags = self._database.read(lambda connection: connection.execute(query).scalars().all())
        return tuple(sorted(tags, key=_alphabetical))

    def change(self, owner: str, request_id: str, changes: MarkChanges, now_ms: int) -> bool:
        mine = (generations.c.owner == owner, generations.c.request_id == request_id)

        def work(connection: Connection) -> bool:
            # Locked: a deletion must not leave tags behind, and two changes must not mix.
            locked = select(generations.c.position).where(*mine).with_for_update()
            position = connection.execute(locked).scalar_one_or_none()
            if position is None:
                return False
            _set_star(connection, position, changes.starred, now_ms)
            _set_tags(connection, owner, position, changes.tags)
            return True

        return self._database.write(work)

    def used_tags(self, owner: str, at_most: int) -> Sequence[tuple[str, int]]:
        number = func.count()
        newest = select(_tag).where(generation_tags.c.owner == owner).order_by(_position.desc()).limit(MAX_COUNTED)
        tag = newest.subquery().c.tag
        most_used = select(tag, number).group_by(tag).order_by(number.desc(), tag).limit(at_most)
        rows = self._database.read(lambda connection: connection.execute(most_used).all())
        return [(tag, count) for tag, count in rows]


def _set_star(connection: Connection, position: int, starred: bool | None, now_ms: int) -> None:
    if starred is None:
        return
    place = update(generations).where(generations.c.position == position)
    if starred:
        # One that has a star keeps its time.
        connection.execute(place.where(generations.c.starred_ms.is_(None)).values(starred_ms=now_ms))
    else:
        connection.execute(place.values(starred_ms=None))


def _set_tags(connection: Connection, owner: str, position: int, tags: Sequence[str] | None) -> None:
    if tags is None:
        return
    connection.execute(delete(generation_tags).where(_position == position))
    if tags:
        rows = [{"owner": owner, "tag": tag, "position": position} for tag in tags]
        connection.execute(insert(generation_tags), rows)
