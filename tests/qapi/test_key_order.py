from qemu_sim.key_order import bucket, in_key_order


def test_orders_as_qemu_prints_its_version():
    assert in_key_order(["major", "minor", "micro"]) == ["micro", "minor", "major"]


def test_ids_and_errors_stand_as_on_the_wire():
    assert in_key_order(["return", "id"]) == ["return", "id"]
    assert in_key_order(["error", "id"]) == ["id", "error"]


def test_the_last_inserted_of_one_bucket_comes_first():
    by_bucket = {}
    names = (f"n{number}" for number in range(2000))
    first, second = next(
        (by_bucket[bucket(name)], name)
        for name in names
        if by_bucket.setdefault(bucket(name), name) != name
    )
    assert in_key_order([first, second]) == [second, first]
    assert in_key_order([second, first]) == [first, second]
