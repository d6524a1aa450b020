"""The list of bad inputs: 110 rows, numbered for good, and where each is tested."""

from dataclasses import dataclass, field
from typing import Any

ROWS = range(1, 111)


@dataclass(frozen=True)
class Bad:
    """A request and its right answer. `sent` are arguments of the test client; `error` None = a good answer."""

    number: int
    name: str
    status: int
    error: str | None = None
    sent: dict[str, Any] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/api/v1/generate"

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


# Rows that other tests hold, by file and name.
ELSEWHERE: dict[int, list[str]] = {
    29: ["tests/system/test_bad_connections.py::test_a_body_without_end_is_refused_after_a_mebibyte"],
    36: ["tests/system/test_bad_connections.py::test_a_body_that_does_not_come_ends_the_connection"],
    42: ["tests/api/test_generate.py::test_the_same_word_in_two_forms_is_two_questions"],
    43: ["tests/pages/test_generate_page.py::test_no_line_end_of_an_answer_breaks_its_event"],
    46: ["tests/api/test_generate.py::test_bad_values", "tests/api/test_generate.py::test_strange_text_comes_back_as_it_was"],
    48: ["tests/browser/test_journey.py::test_a_word_without_end_does_not_widen_the_page"],
    51: ["tests/api/test_hostile_templates.py::test_an_expression_in_a_value_is_text"],
    52: ["tests/api/test_hostile_templates.py::test_a_statement_in_a_value_is_text"],
    53: ["tests/api/test_hostile_templates.py::test_other_format_languages_are_text"],
    54: ["tests/api/test_hostile_templates.py::test_a_value_that_names_another_value_is_text"],
    55: ["tests/api/test_hostile_templates.py::test_a_missing_parameter_is_named"],
    56: ["tests/api/test_hostile_templates.py::test_an_extra_parameter_is_named"],
    57: ["tests/api/test_hostile_templates.py::test_another_type_than_text_is_refused"],
    58: ["tests/api/test_hostile_templates.py::test_a_text_beyond_its_bound_is_refused"],
    59: ["tests/api/test_hostile_templates.py::test_an_id_is_never_a_path"],
    60: ["tests/api/test_hostile_templates.py::test_an_id_is_compared_letter_by_letter"],
    61: ["tests/api/test_hostile_templates.py::test_no_id_is_magic"],
    62: ["tests/api/test_hostile_templates.py::test_a_file_cannot_reach_the_program"],
    63: ["tests/api/test_hostile_templates.py::test_a_file_cannot_ask_for_endless_work"],
    64: ["tests/api/test_hostile_templates.py::test_a_file_cannot_read_another"],
    65: ["tests/api/test_hostile_templates.py::test_yaml_makes_no_objects"],
    66: ["tests/api/test_hostile_templates.py::test_a_yaml_bomb_is_refused_before_it_grows"],
    67: ["tests/api/test_hostile_templates.py::test_links_and_devices_are_refused_by_name"],
    68: ["tests/api/test_hostile_templates.py::test_files_that_are_no_text_are_refused_by_name"],
    69: ["tests/api/test_hostile_templates.py::test_two_files_for_one_version_are_refused_by_name"],
    70: ["tests/api/test_hostile_templates.py::test_a_text_that_asks_for_the_prompt_is_a_text_like_any_other"],
    74: ["tests/system/test_bad_connections.py::test_what_is_no_http_is_refused"],
    75: ["tests/system/test_bad_connections.py::test_what_is_no_http_is_refused"],
    76: ["tests/system/test_bad_connections.py::test_what_is_no_http_is_refused"],
    78: ["tests/api/test_access.py::test_whoever_is_not_local_is_refused"],
    79: ["tests/system/test_bad_connections.py::test_what_is_no_http_is_refused"],
    80: ["tests/system/test_bad_connections.py::test_what_is_no_http_is_refused"],
    84: ["tests/system/test_bad_connections.py::test_a_body_that_does_not_come_ends_the_connection"],
    85: ["tests/system/test_bad_connections.py::test_slow_callers_hold_nobody_up"],
    92: ["tests/api/test_keys.py::test_every_wrong_way_is_told_the_same"],
    93: ["tests/api/test_keys.py::test_what_comes_from_a_caller_is_a_bound_parameter"],
    94: ["tests/api/test_keys.py::test_every_wrong_way_is_told_the_same"],
    95: ["tests/system/test_access.py::test_two_workers_feel_a_revocation_within_a_second", "tests/contracts/test_access.py::test_a_key_is_found_until_it_expires"],
    96: ["tests/api/test_keys.py::test_every_wrong_way_is_told_the_same"],
    97: ["tests/api/test_scopes.py::test_a_key_opens_what_its_scope_says_and_nothing_else", "tests/api/test_isolation.py::test_an_id_of_another_owner_is_not_there"],
    98: ["tests/pages/test_login.py::test_a_cookie_that_is_none_is_replaced_by_a_sign_in_and_cleared", "tests/pages/test_login.py::test_a_tampered_cookie_is_absent"],
    99: ["tests/pages/test_login.py::test_each_sign_in_is_a_new_session_and_the_old_one_ends", "tests/pages/test_login.py::test_signing_out_ends_it"],
    100: ["tests/api/test_access.py::test_changing_requests_come_from_our_own_page", "tests/pages/test_login.py::test_a_changing_request_brings_the_session_s_token"],
    102: ["tests/pages/test_login.py::test_a_hundred_wrong_keys"],
    104: ["tests/browser/test_hostile_output.py::test_in_the_history", "tests/pages/test_markdown.py::test_only_what_is_allowed_comes_of_it"],
    105: ["tests/browser/test_hostile_output.py::test_while_it_streams_and_when_it_is_whole", "tests/pages/test_markdown.py::test_what_is_no_address_of_the_web_is_no_link"],
    106: ["tests/browser/test_hostile_output.py::test_while_it_streams_and_when_it_is_whole", "tests/pages/test_markdown.py::test_an_image_is_its_description"],
    107: ["tests/pages/test_markdown.py::test_a_link_says_where_it_leads"],
    108: ["tests/api/test_history.py::test_a_csv_runs_no_formulas", "tests/api/test_history.py::test_a_csv_is_rfc_4180"],
}  # fmt: skip
