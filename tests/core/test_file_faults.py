from llm_service.core.file_faults import FileFault, FileFaults

FAULT = FileFault("/somewhere/etc/providers.yml", 7, "is wrong")


def test_a_fault_names_the_place() -> None:
    assert str(FAULT) == "/somewhere/etc/providers.yml:7: is wrong"
    assert FAULT.shown == "providers.yml:7: is wrong"
    assert FileFault("/a/b.yml", None, "is binary").shown == "b.yml: is binary"


def test_all_faults_are_in_the_message() -> None:
    faults = FileFaults([FAULT, FileFault("/a/b.yml", None, "is binary")])
    assert str(faults) == "/somewhere/etc/providers.yml:7: is wrong\n/a/b.yml: is binary"
    assert faults.faults[0] == FAULT
