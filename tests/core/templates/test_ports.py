from llm_service.core.templates.ports import TemplateFault, TemplateFaults

FAULT = TemplateFault("/somewhere/prompts/x_v1.prompty", 7, "is wrong")


def test_a_fault_is_shown_without_its_folder() -> None:
    assert str(FAULT) == "/somewhere/prompts/x_v1.prompty:7: is wrong"
    assert (FAULT.shown, FAULT.template_id) == ("x_v1.prompty:7: is wrong", "x_v1")
    assert TemplateFault("/a/b_v1.prompty", None, "is binary").shown == "b_v1.prompty: is binary"


def test_the_faults_of_a_set_are_named_one_in_a_line() -> None:
    faults = TemplateFaults([FAULT, TemplateFault("/a/b_v1.prompty", None, "is binary")])
    assert str(faults) == "/somewhere/prompts/x_v1.prompty:7: is wrong\n/a/b_v1.prompty: is binary"
    assert faults.faults[0] is FAULT
