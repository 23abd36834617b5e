"""Which cases of the torture suite are replayed, and that the others say why not."""

from __future__ import annotations

import pytest

from tests.tracing.torture.harness import load, outcome

AT_LEAST = 155
"""How many of the named cases must be replayed."""

NAMED = frozenset("""
    alias_fxx arg_list_pop arg_mutated arg_object_kept args_list_mutated axis_list_changed batchnorm
    bool_of_outside_list bound_method_stored cached_property_ chained_compare class_attribute class_counter
    closure_changed closure_factory_state closure_over_loop_var closure_returned closure_tensor_replaced
    compiled_method comprehension_params contextmanager_ counter_attribute counter_every_third cyclic_output
    dataclass_in dataclass_out decorator_wraps deep_sum_of_lists default_arg_object default_replaced defaults_added
    del_and_pop_state deque_history descriptor_user dict_params dict_state dropout_flag dtype_changes early_return
    early_stop_loop ema_dict_update enum_and_string_mode environ except_tuple_changed exception_after_write
    exception_message_value exception_on_replay exec_no_source finally_and_else flag_attribute fresh_const_tensor
    fresh_list_not_shared fresh_object_state fresh_then_mutated_state function_attribute_state generator_argument
    generator_function generator_inside generator_shared generator_two_phase getattr_hook global_changed
    global_counter global_dict_config global_mode_switch global_np_array_mutated global_tensor_mutated
    globals_builtin_shadow identity_returned index_error_loop inherit_call_slots_property inner_def_called_later
    inplace_on_fresh_alias_of_state int_float_bool_same_value int_of_tensor int_subclass is_between_attributes
    is_compare isinstance_args item_arith iterator_class key_error_default key_present_only kwargs_defaults
    lambdas_in_list large_int_and_str_identity len_bool_user list_alias list_append_tensor list_history_read
    list_of_fresh_objects locals_frame log_to_list_of_strings lr_schedule lru_cached math_on_scalars max_of_tensors
    metaclass_and_getattribute module_list_of_modules momentum_lazy_state monkeypatched_function
    monkeypatched_method mutable_default mutable_default_read mutate_then_branch namedtuple_ nan_zero_guard
    nested_compiled nested_containers new_dict_key noncontiguous nonlocal_counter np_random np_scalar_vs_0d
    numpy_escape object_alias object_replaced object_with_call operator_overload_user overlap_views
    overlap_with_branch own_generator own_generator_side_exit param_aliased_in_two_modules
    parameter_iteration_update partial_ print_each_call print_tensor_value property_changed py_scalar_changes
    py_scalar_special raise_data random_module read_after_write_same_attr recursion recursion_data
    return_outside_object scalar_as_shape scalar_kind scalar_range setattr_hook sgd_step shape_changes
    shared_cell_between_functions signed_zero_float_of_tensor slots_object sort_by_value sorted_users
    star_args_from_state state_as_tuple staticmethod_classmethod stored_and_returned str_join_state super_call
    tensor_attribute_replaced tensor_subclass threads time_call trace_of_dead_then_ok try_attribute_error
    try_except_shape tuple_nested_out two_counters_swap unpack_pairs user_eq_hash_keys view_of_mutated_returned
    view_returned walrus_chain warn_once while_break_continue while_collatz while_data while_dtype_change
    while_else_and_for_inside while_float_err while_generator_frames while_inner_branch while_list_inside
    while_nested while_old_value_kept while_outer_holds while_state_inside while_swap_two zip_dict_params
""".split())  # fmt: skip
"""The cases that any engine which replays calls is tried on; all others are of what this library adds."""

IN_PYTHON = frozenset("""
    arg_list_pop array_of_objects_or_text array_of_state_over_the_memory_of_a_tensor array_under_a_tensor
    assignment_by_masks_and_indices class_statement_inside context_variable copies_and_pickles
    coroutine_driven_by_hand descriptor_user dict_of_an_object eval_and_exec_inside exception_between_two_writes
    exception_chains exception_groups exec_no_source finalizer_that_writes_state frame_of_a_caller
    functions_from_operator generator_argument generator_function generator_kept_between_calls generator_shared
    generator_two_phase graph_retained_between_calls hash_of_a_class_is_called_as_often hook_registered_inside
    identity_numbers index_by_tensors_and_masks inner_def_called_later isinstance_decided_by_the_class
    iterators_with_a_state large_int_and_str_identity list_history_read list_methods_that_write locals_frame
    lru_cached match_statement membership_in_a_list_that_holds_itself metaclass_and_getattribute mutable_default
    np_random numbers_that_do_not_fit_a_tensor numpy_escape numpy_functions_inside objects_that_are_indices
    order_that_a_class_defines own_random_generators random_module result_with_its_own_iteration
    returned_dict_views_and_iterators scalar_changes_its_type setting_an_item_grows_nothing single_dispatch
    special_dicts string_methods_on_state tensor_subclass_with_its_own_operator tensors_and_arrays_together
    text_of_a_module text_of_an_enum_of_its_own text_of_tensors text_stream_written time_call user_eq_hash_keys
    views_of_a_leaf views_of_changing_numbers_are_kept weak_reference_read while_break_continue
    while_draws_until_it_fits with_several_managers
""".split())  # fmt: skip
"""The cases of which every call is run by Python: it reads what no guard can see, or each call is another."""


def test_enough_of_the_named_cases_are_replayed() -> None:
    assert load().keys() >= NAMED
    assert len(NAMED - IN_PYTHON) >= AT_LEAST


@pytest.mark.parametrize("name", sorted(load().keys() - IN_PYTHON))
def test_a_call_is_replayed(name: str) -> None:
    found = outcome(name)
    assert found.replayed, found.reason


@pytest.mark.parametrize("name", sorted(IN_PYTHON))
def test_a_case_that_is_not_replayed_says_why(name: str) -> None:
    found = outcome(name)
    assert not found.replayed
    assert found.reason
