"""Which cases of the torture suite are replayed, and that the others say why not."""

from __future__ import annotations

import sys

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
    arrays_of_another_byte_order elements_set_to_text_and_to_none numbers_looked_at_as_bits
    part_behind_a_mask_combined_with_as_many part_behind_a_mask_that_changes_meanwhile
    parts_combined_where_indices_repeat sizes_kept_in_their_order
    objects_of_users_that_builtins_only_pass_on
    annotations_and_code_of_functions arg_list_pop array_attribute_of_a_class_and_a_default array_from_a_file
    array_in_a_list_compared array_of_objects_or_text array_of_state_over_the_memory_of_a_tensor
    array_that_looks_at_an_index_object array_under_a_tensor array_whose_flags_are_set array_whose_shape_is_set
    assignment_by_masks_and_indices attributes_of_a_module_by_its_dict
    bound_append_kept_as_a_function bound_reader_kept_as_a_function bound_step_of_an_iterator_kept_as_a_function
    bytes_and_their_arrays cached_property_reached_by_super class_made_by_a_call_of_its_parts
    class_of_an_object_is_changed class_statement_inside clock_of_numpy comparing_lists_that_hold_nan
    context_variable copies_and_pickles coroutine_driven_by_hand counted_loop_whose_frame_is_looked_at
    default_dtype_changed_inside default_that_is_a_list_of_state descriptor_user dict_begun_anew
    dict_changed_while_it_is_walked dict_of_an_object dict_of_an_object_reached_by_super
    errstate_raises_in_compiled_code
    eval_and_exec_inside exception_chains exception_groups
    exceptions_after_native_effects exceptions_that_are_kept exec_no_source field_of_a_tuple_reached_by_super
    fields_of_a_dataclass_that_change filter_by_objects_that_decide finalizer_that_writes_state
    frame_of_a_caller function_of_attributes_of_itself function_of_the_users_as_a_ufunc
    function_of_the_users_on_arrays functions_from_operator
    functions_of_the_library_copy_arrays
    generator_argument generator_function generator_kept_between_calls generator_shared generator_two_phase
    generators_that_are_closed_early grad_mode_is_left_changed graph_retained_between_calls
    hash_of_a_class_is_called_as_often hook_registered_inside identity_numbers index_by_tensors_and_masks
    inner_def_called_later isinstance_decided_by_the_class item_getter_with_a_list iterators_with_a_state
    large_int_and_str_identity list_begun_anew list_history_read list_methods_that_write locals_frame lru_cached
    match_statement membership_in_a_list_that_holds_itself messages_that_name_the_class_of_a_number
    metaclass_and_getattribute metaclass_with_a_familiar_name method_caller_with_a_list
    method_of_a_list_that_the_call_made mode_entered_inside mutable_default
    native_functions_of_objects_in_higher_ones np_random number_operators_with_objects
    number_that_changes_slices number_times_a_list number_written_to_a_file numbers_that_do_not_fit_a_tensor
    nan_that_is_looked_for numbers_that_are_one_object_after_the_recording_has_ended
    numpy_escape numpy_record_that_changes object_that_says_it_is_of_another_class
    objects_that_are_indices order_in_a_set_of_objects order_in_a_set_of_objects_made_by_it
    order_in_a_set_that_was_large order_that_a_class_defines own_random_generators parameter_or_tensor
    partial_over_a_list places_that_are_objects printing_options_written_inside random_module
    random_numbers_of_numpy result_with_its_own_iteration returned_dict_views_and_iterators
    scalar_changes_its_type set_operators_on_views sets_joined_in_place
    settings_of_numpy_read_inside settings_of_numpy_written_inside single_dispatch
    slot_reached_by_super special_dicts special_methods_of_a_dict_that_compare
    special_methods_of_a_list_that_compare special_methods_of_a_list_that_order
    special_methods_of_a_list_that_take_an_index string_methods_on_state tensor_subclass_with_its_own_operator
    tensor_with_a_gradient_written_to_an_array tensors_and_arrays_together tensors_as_keys_and_in_sets
    text_of_a_module text_of_an_enum_of_its_own text_of_lists_that_hold_objects text_of_tensors
    text_stream_written time_call truth_of_an_enum_member user_eq_hash_keys
    view_of_a_dict_with_numbers_that_change view_of_a_tensor_on_the_tape_that_is_written views_of_a_leaf
    views_of_changing_numbers_are_kept weak_reference_read with_several_managers
    write_puts_an_argument_on_the_tape write_to_a_tensor_that_has_a_gradient
""".split())  # fmt: skip
"""The cases of which every call is run by Python: it reads what no guard can see, or each call is another."""
if sys.version_info < (3, 14):
    IN_PYTHON |= {"reduce_from_a_start_by_name"}  # an error there


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
